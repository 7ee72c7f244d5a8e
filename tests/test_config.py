"""Configuration: every mistake is found at the start, named by its section, with its fix."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from bot import config
from bot.config import Misconfigured
from handlers import discovered
from handlers.router import Router
from storage.sealing import fresh_key

ROOT = Path(__file__).parent.parent


class Settings(BaseModel, extra="forbid", frozen=True):
    """The [bell] section."""

    at: time = time(20)
    loud: int = 3


BELL = Router("bell", Settings)


def read(tmp_path: Path, text: str, **environment: str) -> config.Config:
    file = tmp_path / "config.toml"
    file.write_text(text, "utf-8")
    return config.read(file, [BELL], environment)


def faults(tmp_path: Path, text: str, **environment: str) -> str:
    with pytest.raises(Misconfigured) as wrong:
        read(tmp_path, text, **environment)
    return "\n".join(wrong.value.faults)


def test_the_file_we_ship_is_fine() -> None:
    found = config.read(ROOT / "config.toml", discovered(), {})
    assert found.communities == ()


def test_every_default_that_our_file_shows_is_the_default(tmp_path: Path) -> None:
    """Uncommenting a line of a capability's section changes nothing."""
    text = (ROOT / "config.toml").read_text("utf-8")
    capabilities = text.partition("# ---- capabilities")[2].partition("\n")[2]
    shown = tmp_path / "config.toml"
    shown.write_text(
        "\n".join(line.removeprefix("# ") for line in capabilities.splitlines()), "utf-8"
    )
    routers = discovered()
    with_lines = config.read(shown, routers, {})
    without = config.read(tmp_path / "none.toml", routers, {})
    assert with_lines.book.shapes == without.book.shapes


def test_a_missing_file_is_an_empty_one(tmp_path: Path) -> None:
    found = config.read(tmp_path / "none.toml", [BELL], {})
    assert found.book.of(Settings, "anywhere") == Settings()


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    found = read(
        tmp_path, "[bell]\nloud = 5\n", BOT_BELL__LOUD="7", BOT_BELL__AT="06:30:00",
        BOT_TELEGRAM__TOKEN="123:abc", BOT_WEB__HOST="10.0.0.1",
    )  # fmt: skip
    assert found.book.of(Settings, "x") == Settings(loud=7, at=time(6, 30))
    assert found.telegram.token == "123:abc"
    assert found.web.host == "10.0.0.1"


def test_a_community_changes_settings_for_itself_alone(tmp_path: Path) -> None:
    text = """
        [bell]
        loud = 5
        [[community]]
        name = "A"
        [community.bell]
        at = 09:00:00
        [[community]]
        name = "B"
    """
    found = read(tmp_path, text)
    assert found.book.of(Settings, "A") == Settings(loud=5, at=time(9))
    assert found.book.of(Settings, "B") == Settings(loud=5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[bell]\nlowd = 3", "config.toml: [bell] lowd: Extra inputs are not permitted"),
        ("[bel]\nloud = 3", "config.toml: [bel] is no section"),
        ("[bell]\nloud = 'x'", "config.toml: [bell] loud: Input should be a valid integer"),
        ("[bell\nloud = 3", "config.toml: "),
        ("[community]\nname = 'A'", "two brackets"),
        ("[[community]]\nname = 'A'\nzone = 'Mars/Olympus'", "is no time zone"),
        ("[[community]]\nzone = 'UTC'", "[[community]] number 1 name: Field required"),
        ("[[community]]\nname = 'A'\n[[community]]\nname = 'A'", "two are called A"),
        ("[[community]]\nname = 'A'\nlanguag = 'en'", "there is no capability languag"),
        ("[telegram]\ntoken = '1:a'", "is a secret; set BOT_TELEGRAM__TOKEN"),
        ("[storage]\nseal_key = 'x'", "is a secret; set BOT_STORAGE__SEAL_KEY"),
        ("[model]\nkey = 'x'", "is a secret; set BOT_MODEL__KEY"),
        ("[model]\nurl = 'api.example'", "config.toml: [model] url: String should match"),
        ("[model]\ntimeout = 0", "config.toml: [model] timeout: Input should be greater than 0"),
        (
            "[[community]]\nname = 'A'\nlanguage = 'fr'",
            "language fr is not spoken; there are en, zh",
        ),
        ("[[community]]\nname = 'A'\ntelegram.chats = [-5]\ntelegram.staff = -5", "named twice"),
        ("[web]\nport = 99999", "config.toml: [web] port: Input should be less than or equal"),
    ],
)
def test_a_mistake_is_named_with_its_section(tmp_path: Path, text: str, told: str) -> None:
    assert told in faults(tmp_path, text)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    told = faults(tmp_path, "[bell]\nlowd = 3\nloud = 'x'\n[web]\nport = -1")
    assert told.count("\n") == 2


def test_a_webhook_without_a_secret_refuses_to_start(tmp_path: Path) -> None:
    text = "[telegram]\nmode = 'webhook'\nwebhook_url = 'https://bot.example/hook'"
    told = faults(tmp_path, text, BOT_TELEGRAM__TOKEN="1:a")
    assert "set BOT_TELEGRAM__WEBHOOK_SECRET" in told


def test_a_key_that_is_none_refuses_to_start(tmp_path: Path) -> None:
    assert "python -m bot key makes one" in faults(tmp_path, "", BOT_STORAGE__SEAL_KEY="secret")
    assert read(tmp_path, "", BOT_STORAGE__SEAL_KEY=fresh_key()).seal.fingerprint
