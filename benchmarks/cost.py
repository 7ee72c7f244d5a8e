"""What a process and all its children have cost: CPU time and memory, as Linux tells of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

PROCESSES = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(roots: Iterable[int]) -> float:
    """CPU time, in seconds, of these processes and of all they started, ended threads included.

    Children that have ended count once their parent has waited for them, in steps of 10 ms;
    what lives is known to the nanosecond.
    """
    return sum(_own_seconds(pid) + _waited_for(pid) for pid in trees(roots))


def memory(roots: Iterable[int]) -> float:
    """The memory that these processes, and all they started, have at present, in MB."""
    return sum(_resident(pid) for pid in trees(roots))


def peak_memory(roots: Iterable[int]) -> float:
    """The sum of the most memory that each of the processes ever had, in MB."""
    return sum(_peak(pid) for pid in trees(roots))


def trees(roots: Iterable[int]) -> set[int]:
    """These processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for pid in _alive():
        children.setdefault(parent(pid), []).append(pid)
    found: set[int] = set()
    left = list(roots)
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children.get(pid, [])
    return found


def parent(pid: int) -> int:
    """Who started the process; 0 if it is gone."""
    fields = _fields(pid)
    return int(fields[1]) if fields else 0


def _own_seconds(pid: int) -> float:
    clock = (~pid << 3) | 2  # as clock_getcpuclockid(3) makes it of a process's number
    try:
        return time.clock_gettime(clock)
    except OSError:
        return 0.0


def _waited_for(pid: int) -> float:
    fields = _fields(pid)
    return (int(fields[13]) + int(fields[14])) / TICK if fields else 0.0


def _resident(pid: int) -> float:
    try:
        sizes = (PROCESSES / str(pid) / "statm").read_text()
    except OSError:
        return 0.0
    return int(sizes.split()[1]) * PAGE / 2**20


def _peak(pid: int) -> float:
    try:
        status = (PROCESSES / str(pid) / "status").read_text()
    except OSError:
        return 0.0
    found = status.partition("VmHWM:")[2].split()
    return int(found[0]) / 1024 if found else 0.0


def _alive() -> Iterator[int]:
    return (int(one.name) for one in PROCESSES.iterdir() if one.name.isdigit())


def _fields(pid: int) -> list[str]:
    """The fields of its stat file from the state on; none if it is gone."""
    try:
        stat = (PROCESSES / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return stat.rpartition(")")[2].split()
