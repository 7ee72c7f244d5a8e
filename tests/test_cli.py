"""The command line: what it tells an operator, without importing the world to say it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bot import cli, doctor
from storage.sealing import fresh_key

ROOT = Path(__file__).parent.parent
HEAVY = ("aiogram", "openai", "sqlmodel", "sqlalchemy", "alembic", "aiohttp", "babel", "asyncpg")


def bot(*words: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **environment},
        check=False,
    )


@pytest.mark.parametrize("words", [["--help"], ["check"]])
def test_nothing_heavy_is_imported_for_a_quick_answer(words: list[str]) -> None:
    code = (
        "import sys\nfrom bot.cli import main\n"
        f"try: main({words!r})\nexcept SystemExit: pass\n"
        f"print('HEAVY', [one for one in {HEAVY!r} if one in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_help_names_every_command_with_one_line() -> None:
    told = bot("--help").stdout
    for command in cli.COMMANDS:
        assert command.__name__ in told
        assert (command.__doc__ or "").split("\n")[0].endswith(".")


def test_the_doctor_finds_what_is_missing_and_how_to_mend_it(tmp_path: Path) -> None:
    done = bot("check", "--json", cwd=tmp_path)
    findings = {one["what"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 1
    assert not findings["sealing key"]["well"]
    assert "python -m bot key" in findings["sealing key"]["mend"]
    assert findings["storage"]["found"].startswith("SQLite, empty")


def test_the_doctor_is_content_with_a_key(tmp_path: Path) -> None:
    done = bot("check", cwd=tmp_path, BOT_STORAGE__SEAL_KEY=fresh_key())
    assert done.returncode == 0, done.stdout
    assert "MEND" not in done.stdout


def test_the_doctor_names_the_section_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[checkin]\nmilstone = 7\n")
    done = bot("check", cwd=tmp_path)
    assert done.returncode == 1
    assert "[checkin] milstone" in done.stdout


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "BOT_STORAGE__SEAL_KEY is not set"),
        ({"BOT_STORAGE__SEAL_KEY": fresh_key()}, "BOT_TELEGRAM__TOKEN is not set"),
        ({"BOT_STORAGE__SEAL_KEY": "short"}, "python -m bot key makes one"),
    ],
)
def test_run_says_what_it_needs(tmp_path: Path, environment: dict[str, str], told: str) -> None:
    done = bot("run", cwd=tmp_path, **environment)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_from_the_command_is_a_key(tmp_path: Path) -> None:
    made = bot("key", cwd=tmp_path).stdout.strip()
    assert bot("check", cwd=tmp_path, BOT_STORAGE__SEAL_KEY=made).returncode == 0


def test_capabilities_and_timetable_tell_what_there_is(tmp_path: Path) -> None:
    listed = bot("capabilities", cwd=tmp_path).stdout
    for name in ("checkin", "/checkin", "welcome", "handoff", "telegram cannot", "web cannot"):
        assert name in listed
    (tmp_path / "config.toml").write_text(
        '[[community]]\nname = "Harbour Tea"\nzone = "Asia/Shanghai"\n'
        "[community.checkin]\nremind_at = 19:30:00\n"
    )
    day = bot("timetable", cwd=tmp_path).stdout
    assert "Harbour Tea (Asia/Shanghai" in day
    assert "19:30  checkin.remind" in day


def test_migrate_makes_an_empty_database_and_compares(tmp_path: Path) -> None:
    key = fresh_key()
    made = bot("migrate", cwd=tmp_path, BOT_STORAGE__SEAL_KEY=key)
    assert "schema none →" in made.stdout
    assert (tmp_path / "var" / "innkeeper.sqlite").exists()
    back = bot("migrate", "--to", "base", cwd=tmp_path, BOT_STORAGE__SEAL_KEY=key)
    assert "→ none" in back.stdout
    assert "agree" in bot("migrate", "--check", cwd=tmp_path).stdout


def test_every_finding_that_is_not_well_says_how_to_mend_it(tmp_path: Path) -> None:
    for finding in doctor.examined(tmp_path / "none.toml"):
        assert finding.well or finding.mend


def test_quarantine_shows_what_was_set_aside(tmp_path: Path) -> None:
    key = fresh_key()
    bot("migrate", cwd=tmp_path, BOT_STORAGE__SEAL_KEY=key)
    assert "0 set aside" in bot("quarantine", cwd=tmp_path, BOT_STORAGE__SEAL_KEY=key).stdout


def test_quarantine_says_when_there_is_nothing_under_a_number(tmp_path: Path) -> None:
    key = fresh_key()
    bot("migrate", cwd=tmp_path, BOT_STORAGE__SEAL_KEY=key)
    for words in ("--retry", "--drop"):
        done = bot("quarantine", words, "7", cwd=tmp_path, BOT_STORAGE__SEAL_KEY=key)
        assert done.returncode == 1
        assert "nothing set aside under number 7" in done.stdout
