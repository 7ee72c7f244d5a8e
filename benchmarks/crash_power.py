"""Loss of power, played on an SQLite folder: what a disk may have of what was written to it.

`powerloss.c`, loaded into the bot, writes down what it does to its files.  After a kill the folder
is made anew out of that: whatever was synced, and of what was not, anything: all, nothing, some in
any order, some torn between two sectors of 512 bytes.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SOURCE = Path(__file__).with_name("powerloss.c")
SECTOR = 512  # bytes that a disk writes whole or not at all
HEAD = struct.Struct("<cQQI")
SHARED_MEMORY = "-shm"  # mapped, never written; made anew at every start
LOCK = ".lock"


class NoCompiler(Exception):
    """There is no C compiler to build the shim with."""


def shim(folder: Path) -> Path:
    """Build the shim into this folder; returns the library.  Raises `NoCompiler`."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("no C compiler here, so a loss of power cannot be played")
    library = folder / "powerloss.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE)]
    subprocess.run([*command, "-ldl", "-lpthread"], check=True)  # noqa: S603 - our own source
    return library


@dataclass(frozen=True, slots=True)
class Done:
    """One thing that was done to the folder."""

    what: str
    inode: int
    at: int
    data: bytes


@dataclass(eq=False)
class File:
    """A file as the disk surely has it, and what may or may not be there too."""

    content: bytearray = field(default_factory=bytearray)
    unsynced: list[Done] = field(default_factory=list)


@dataclass
class Disk:
    """The folder on a disk that forgets whatever was not synced when the power goes."""

    folder: Path
    library: Path
    journal: Path
    torn: int = 0  # writes of which only some sectors were kept
    dropped: int = 0
    cuts: int = 0
    ends_at: int = 0  # before which write or sync the next process dies; 0: it does not
    _durable: dict[str, bytes] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What the bot has to be started with."""
        ends = {"POWERLOSS_ENDS_AT": str(self.ends_at)} if self.ends_at else {}
        return {
            "LD_PRELOAD": str(self.library),
            "POWERLOSS_FOLDER": str(self.folder),
            "POWERLOSS_JOURNAL": str(self.journal),
            **ends,
        }

    def cut(self, random: Random) -> None:
        """The power went: make the folder what the disk may have, for the next start."""
        self.cuts += 1
        names = self._left(random)
        for file in self.folder.iterdir():
            if not file.name.endswith(LOCK):
                file.unlink()
        for name, content in names.items():
            (self.folder / name).write_bytes(content)
        self._durable = names
        self.journal.unlink(missing_ok=True)

    def _left(self, random: Random) -> dict[str, bytes]:
        """Every file that there is after the cut, and what is in it."""
        names = {name: File(bytearray(content)) for name, content in self._durable.items()}
        by_inode: dict[int, File] = {}
        surely = dict(names)  # the names the disk has for certain
        unsure: list[dict[str, File]] = []  # and what they became since, step by step
        for one in records(self.journal.read_bytes() if self.journal.exists() else b""):
            before = dict(names)
            self._replay(one, names, by_inode)
            if one.what == "D":
                surely, unsure = dict(names), []
            elif names != before:
                unsure.append(dict(names))
        chosen = random.choice([surely, *unsure])
        return {
            name: self._after(file, random)
            for name, file in chosen.items()
            if not name.endswith((SHARED_MEMORY, LOCK))
        }

    def _replay(self, one: Done, names: dict[str, File], by_inode: dict[int, File]) -> None:
        match one.what:
            case "C":
                names[one.data.decode()] = by_inode[one.inode] = File()
            case "X":
                by_inode[one.inode] = names.setdefault(one.data.decode(), File())
            case "U":
                names.pop(one.data.decode(), None)
            case "R":
                old, new = one.data.decode().split("\0")
                if old in names:
                    names[new] = names.pop(old)
            case "W" | "T":
                by_inode[one.inode].unsynced.append(one)
            case "S":
                file = by_inode[one.inode]
                for done in file.unsynced:
                    apply(done, file.content)
                file.unsynced.clear()

    def _after(self, file: File, random: Random) -> bytes:
        """A file's content, with some of what was not synced."""
        content, unsynced = bytearray(file.content), list(file.unsynced)
        match random.choice(("none", "all", "first", "some", "some")):
            case "none":
                kept: list[Done] = []
            case "all":
                kept = unsynced
            case "first":
                kept = unsynced[: random.randint(0, len(unsynced))]
            case _:
                kept = [self._tear(one, random) for one in unsynced if random.random() < 0.6]
                random.shuffle(kept)
        self.dropped += len(unsynced) - len(kept)
        for one in kept:
            apply(one, content)
        return bytes(content)

    def _tear(self, one: Done, random: Random) -> Done:
        """A write, perhaps with its end missing from some sector on."""
        sectors = -(-len(one.data) // SECTOR)
        if one.what != "W" or sectors < 2 or random.random() < 0.5:
            return one
        self.torn += 1
        whole = random.randint(1, sectors - 1) * SECTOR
        if random.random() < 0.5:
            return Done("W", one.inode, one.at, one.data[:whole])
        return Done("W", one.inode, one.at + whole, one.data[whole:])


def apply(one: Done, content: bytearray) -> None:
    """Do to the content what was done to the file."""
    end = one.at + len(one.data)
    if one.what == "T":
        del content[one.at :]
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[one.at : end] = one.data


def records(journal: bytes) -> Iterator[Done]:
    """Everything in the journal; what a kill cut off at its end never happened."""
    at = 0
    while at + HEAD.size <= len(journal):
        what, inode, where, length = HEAD.unpack_from(journal, at)
        at += HEAD.size
        if at + length > len(journal):
            return
        yield Done(what.decode(), inode, where, journal[at : at + length])
        at += length
