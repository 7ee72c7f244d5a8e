"""A real Chromium for the tests, found on this machine or installed where we may.

As a pytest plugin (`pytest_plugins = ["tests.browser"]` in conftest.py) it gives the fixture
`browser` to the tests marked `browser`.  Where there is no Chromium they fail, as a test that did
not run has not passed; BOT_TEST_BROWSER=skip leaves them out, and says so at the end.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
QUIET = (  # so that it asks nothing of the network by itself
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)

# Asked in a process of its own, as Playwright refuses to answer at once where a loop is running.
PLAYWRIGHTS_OWN = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""


class NoBrowser(Exception):
    """There is no Chromium to be had; the message says what to do about it."""


def executable() -> Path:
    """A Chromium that Playwright can drive.

    It is $BOT_TEST_BROWSER, or what is on the PATH, or Playwright's own.  As root on Debian, what
    is missing is installed, which may take minutes.  Raises `NoBrowser`.
    """
    if _missing() and os.geteuid() == 0 and shutil.which("apt-get"):
        with Path(__file__).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # every xdist worker wants it
            if missing := _missing():  # unless another has been here meanwhile
                _install(missing)
    missing, found = _missing(), _found()
    if missing or not found:
        raise NoBrowser(
            f"No browser to test in: `sudo apt-get install {' '.join(missing)}` (or its like), "
            "or name a Chromium in BOT_TEST_BROWSER, or leave these tests out with "
            "BOT_TEST_BROWSER=skip."
        )
    return found


def flags() -> list[str]:
    """How to start it; root has to do without its sandbox."""
    return [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else list(QUIET)


def axe_source() -> str:
    """The script of axe-core, which finds what would shut somebody out of a page."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def _missing() -> list[str]:
    """The Debian packages without which there is no driving a browser here."""
    missing = [] if _found() else ["chromium"]
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libatomic.so.1")  # Playwright's driver wants it, and does not bring it
        except OSError:
            missing.append("libatomic1")
    return missing


def _found() -> Path | None:
    if named := os.environ.get("BOT_TEST_BROWSER"):
        if not shutil.which(named):
            raise NoBrowser(f"BOT_TEST_BROWSER={named}: there is no such program.")
        return Path(named)
    on_path = next(filter(None, map(shutil.which, NAMES)), None)
    return Path(on_path) if on_path else _playwrights_own()


@cache
def _playwrights_own() -> Path | None:
    asked = [sys.executable, "-c", PLAYWRIGHTS_OWN]
    answer = subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip()
    return Path(answer) if answer and Path(answer).exists() else None


def _install(packages: list[str]) -> None:
    """Install Debian packages without a question; whether it worked is seen afterwards."""
    for command in ("update",), ("install", "-y", "--no-install-recommends", *packages):
        subprocess.run(
            ("apt-get", *command),
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        )


# As a pytest plugin


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A running browser; open a page of your own in a context of your own."""
    chromium = executable()
    async with async_playwright() as playwright:
        yield await playwright.chromium.launch(executable_path=chromium, args=flags())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the browser's tests out, when that was asked for in so many words."""
    for item in filter(_wants_browser, items if _left_out() else []):
        item.add_marker(pytest.mark.skip(reason="BOT_TEST_BROWSER=skip"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install what is missing now, while no test's time is running."""
    if not _left_out() and any(map(_wants_browser, session.items)):
        with suppress(NoBrowser):  # each test will say so for itself
            executable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tested."""
    if _left_out():
        warning = "WARNING: BOT_TEST_BROWSER=skip, so nothing was tested in a browser"
        terminalreporter.write_sep("!", warning, yellow=True, bold=True)


def _wants_browser(item: pytest.Item) -> bool:
    return item.get_closest_marker("browser") is not None


def _left_out() -> bool:
    return os.environ.get("BOT_TEST_BROWSER") == "skip"


# Waits for every movement that has an end.
STILL = """Promise.allSettled(
    document.getAnimations()
        .filter((one) => one.effect.getTiming().iterations !== Infinity)
        .map((one) => one.finished),
)"""


async def violations(page: Page) -> list[Any]:
    """What axe-core finds, with the elements it is about, once what is fading in is there."""
    await page.evaluate(STILL)
    found = await page.evaluate("axe.run()")
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]
