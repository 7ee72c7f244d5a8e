"""A PostgreSQL that is as durable as an operator's, and can be stopped as by a loss of power."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests import postgres

PATIENCE = 60.0  # seconds to come up again, redoing what the log of writes has

# What the tests' server does without, as nothing there has to outlive them.
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


@dataclass
class Postgres:
    """The server, whichever process it is at present."""

    command: list[str]
    data: Path
    log: IO[str]
    url: str
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self.running = subprocess.Popen(  # noqa: S603 - PostgreSQL's own programs
            self.command, stdout=self.log, stderr=self.log, **postgres._circumstances()
        )
        deadline = time.monotonic() + PATIENCE
        while not postgres._ready(self.data / "postmaster.pid"):
            if self.running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not come up: {self.log.name}")
            time.sleep(0.01)

    def crash(self) -> None:
        """Stop it at once, nothing written out and nobody told: `pg_ctl stop -m immediate`."""
        self._stop(signal.SIGQUIT)

    def stop(self) -> None:
        """Stop it in good order."""
        self._stop(signal.SIGINT)

    def _stop(self, how: signal.Signals) -> None:
        if self.running is not None and self.running.poll() is None:
            self.running.send_signal(how)
            self.running.wait(PATIENCE)


@contextmanager
def durable() -> Iterator[Postgres]:
    """A server of our own on the disk, gone without a trace at the end."""
    place, port = tempfile.gettempdir(), postgres._free_port()
    with postgres._folder(place) as work, postgres._folder(place) as data:
        programs = postgres._installed(work)
        password = "only-for-loopback"  # noqa: S105 - guards nothing that lasts
        postgres._initialise(programs, data, password)
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
        for name, value in DURABLE.items():
            command += ["-c", f"{name}={value}"]
        with (work / "log").open("w+") as log:
            url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
            server = Postgres(command, data, log, url)
            server.start()
            try:
                yield server
            finally:
                server.stop()
