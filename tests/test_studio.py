"""The studio: a picture drawn in another process is the picture drawn here."""

from __future__ import annotations

from bot.studio import Studio, draw_here


async def test_a_picture_drawn_elsewhere_is_the_same_even_after_a_kill() -> None:
    words = {"link": "https://example.org/x", "caption": "Come in", "title": "House",
             "language": "en"}  # fmt: skip
    here = await draw_here("qr", words)
    studio = Studio()
    try:
        assert await studio.draw("qr", words) == here
        assert studio._pool is not None
        for process in studio._pool._processes.values():
            process.kill()
        assert await studio.draw("qr", words) == here
    finally:
        studio.close()
