"""Being the only one: at most one running bot an SQLite file, as others would not be told of it."""

from __future__ import annotations

import fcntl

from storage.database import sqlite_path


class Taken(Exception):
    """Another process is running the bot on this database."""


class Hold:
    """A lock on a file beside the database, which the system drops when the process ends."""

    def __init__(self, url: str) -> None:
        """Become the one bot on this database.  Raises `Taken` if another is."""
        path = sqlite_path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.with_name(f"{path.name}.lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise Taken(f"another process is running the bot on {path}; stop it first") from error

    def release(self) -> None:
        """Let the next one in."""
        self._file.close()
