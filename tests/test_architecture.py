"""The guards: which room may know which, who may use what, and that every text is said."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from knowledge.texts import FOLDER, Texts, blanks

ROOT = Path(__file__).parent.parent
ROOMS = ("bot", "handlers", "knowledge", "storage")  # each may import those to its right

# Each outside library has one door.
DOORS = {
    "aiogram": "bot/channels/telegram",
    "openai": "knowledge/model",
    "sqlmodel": "storage/",
    "sqlalchemy": "storage/",
    "sqlite3": "storage/",
    "asyncpg": "storage/",
    "alembic": "storage/",
    "cryptography": "storage/sealing",
    "resvg_py": "knowledge/drawing",
    "segno": "knowledge/pictures",
    "prometheus_client": "bot/",
}
WRITTEN = {
    ".py",
    ".md",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
    ".json",
    ".mjs",
    ".html",
    ".mako",
    ".example",
}
MADE = {
    ".git", ".venv", "var", "build", "__pycache__", "node_modules",
    ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache",
}  # fmt: skip
SHARED = {"handlers/turn.py", "handlers/router.py", "handlers/roles.py", "handlers/__init__.py"}
SQL = re.compile(r"\b(SELECT .+ FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b")
PERSONAL_HOSTS = re.compile(r"python[h]osted|p[y]pi\.o[r]g/simple|registry\.np[m]|deb\.[d]ebian")


def sources(*rooms: str) -> Iterator[tuple[str, ast.Module]]:
    """Every Python file of these rooms: its path from the root, and its syntax."""
    for room in rooms:
        for file in sorted((ROOT / room).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text("utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_each_room_imports_only_rooms_to_its_right() -> None:
    wrong = [
        f"{path} imports {name}"
        for path, tree in sources(*ROOMS)
        for name in imported(tree)
        if name.partition(".")[0] in ROOMS
        and ROOMS.index(name.partition(".")[0]) < ROOMS.index(path.partition("/")[0])
    ]
    assert wrong == []


def test_no_room_imports_the_tests() -> None:
    wrong = [
        path
        for path, tree in sources(*ROOMS)
        for name in imported(tree)
        if name.partition(".")[0] in ("tests", "benchmarks")
    ]
    assert wrong == []


def test_capabilities_never_import_each_other() -> None:
    allowed = {"handlers.turn", "handlers.router", "handlers.roles", "handlers"}
    wrong = [
        f"{path} imports {name}"
        for path, tree in sources("handlers")
        for name in imported(tree)
        if path not in SHARED and name.startswith("handlers") and name not in allowed
    ]
    assert wrong == []


def test_each_outside_library_has_one_door() -> None:
    wrong = [
        f"{path} imports {name}"
        for path, tree in sources(*ROOMS)
        for name in imported(tree)
        if (door := DOORS.get(name.partition(".")[0]))
        and not path.startswith(door)
        and not (path == "bot/doctor.py" and name == "sqlite3")
    ]
    assert wrong == []


def test_sql_is_written_in_storage_only() -> None:
    wrong = [
        f"{path}:{node.lineno}"
        for path, tree in sources("bot", "handlers", "knowledge")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    ]
    assert wrong == []


def test_no_distribution_owns_the_name_of_a_room() -> None:
    owners = metadata.packages_distributions()
    assert {room: owners[room] for room in ROOMS if room in owners} == {}


def test_a_file_opens_with_one_sentence() -> None:
    wrong = []
    for path, tree in sources(*ROOMS, "tests", "benchmarks"):
        told = ast.get_docstring(tree) or ""
        if path.endswith("__init__.py") and not tree.body:
            continue
        if not told.partition("\n")[0].rstrip().endswith((".", "`", "?")):
            wrong.append(path)
    assert wrong == []


def test_every_language_says_the_same_things_with_the_same_blanks() -> None:
    texts = Texts.load().languages
    assert texts["en"].keys() == texts["zh"].keys()
    differing = [key for key in texts["en"] if blanks(texts["en"][key]) != blanks(texts["zh"][key])]
    assert differing == []


def test_every_text_that_is_written_is_said_and_the_other_way_round() -> None:
    written = set(Texts.load().languages["en"])
    words = {
        node.value.removeprefix("@")
        for _, tree in sources("bot", "handlers")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    templates = " ".join(one.read_text("utf-8") for one in (ROOT / "bot" / "web").rglob("*.html"))
    made = {node for node in words if node.endswith(".")}  # "house.role." and a name to follow
    silent = {
        key
        for key in written - words
        if f".{key.split('.', 1)[1]}" not in key[len(key.split(".", 1)[0]) :]
        or not (
            ".command." in key
            or any(key.startswith(prefix) for prefix in made)
            or key in templates
            or key.split(".", 1)[1] in templates
        )
    }
    assert silent == set()
    topics = {file.stem for file in (FOLDER / "en").glob("*.toml")}
    named = re.compile(rf"^({'|'.join(topics)})(\.[a-z_]+)+$")
    buttons = button_data()
    missing = {
        word
        for word in words
        if named.match(word)
        and word not in written
        and word not in buttons
        and not word.endswith((".html", ".toml"))
    }
    assert missing == set()


def button_data() -> set[str]:
    """What looks like a text's key and is the name of a trigger."""
    from handlers import discovered

    triggers = set()
    for router in discovered():
        for names in (router.buttons, router.answers, router.wakings, router.done):
            triggers |= {f"{router.name}.{name}" for name in names}
    return triggers


def test_no_file_names_a_registry_or_this_machine() -> None:
    wrong = [
        path.relative_to(ROOT).as_posix()
        for path in ours(ROOT)
        if path.suffix in WRITTEN or not path.suffix
        if PERSONAL_HOSTS.search(path.read_text("utf-8", errors="ignore"))
    ]
    assert wrong == []


def ours(folder: Path) -> Iterator[Path]:
    """Every file that is ours: nothing installed, made at run time, or kept by a tool."""
    for path in sorted(folder.iterdir()):
        if path.name in MADE or path.suffix == ".egg-info":
            continue
        if path.is_dir():
            yield from ours(path)
        else:
            yield path
