"""The peers' packages, installed apart from our own the first time they are wanted."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

HERE = Path(__file__).parent / "peers"
KEPT = Path(__file__).parent.parent / "var"
VENV = KEPT / "bench-venv"
NODE = KEPT / "bench-node"
PYTHON = VENV / "bin" / "python"


async def python_peers(python: Path) -> str | None:
    """Make a virtual environment with what requirements.txt names; why not, if it cannot be."""
    wanted = HERE / "requirements.txt"
    if _fresh(VENV / wanted.name, wanted):
        return None
    fault = await _done(str(python), "-m", "venv", "--clear", str(VENV))
    fault = fault or await _done(
        str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "-r", str(wanted),
    )  # fmt: skip
    if fault is None:
        shutil.copy(wanted, VENV / wanted.name)
    return fault


async def node_peers() -> str | None:
    """Install what package.json names, for Node; why not, if it cannot be."""
    wanted = HERE / "package.json"
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    NODE.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "grammy.mjs", NODE / "grammy.mjs")
    if _fresh(NODE / "installed.json", wanted):
        return None
    shutil.copy(wanted, NODE / wanted.name)
    fault = await _done(
        "npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(NODE)
    )
    if fault is None:
        shutil.copy(wanted, NODE / "installed.json")
    return fault


def _fresh(mark: Path, wanted: Path) -> bool:
    """Whether what lies there was made of just this file."""
    return mark.exists() and mark.read_bytes() == wanted.read_bytes()


async def _done(*command: str) -> str | None:
    """Run it to its end; what it said last, if it failed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    if process.returncode == 0:
        return None
    last = (told.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1]
    return f"{Path(command[0]).name} failed: {last[:120]}"
