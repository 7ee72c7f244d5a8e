"""What the bot does: one file is one capability."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handlers.router import Router


def discovered() -> list[Router]:
    """The routers of all capabilities: every module here that has a `router`."""
    modules = [
        importlib.import_module(f"handlers.{found.name}")
        for found in pkgutil.iter_modules(__path__)
    ]
    return [module.router for module in modules if hasattr(module, "router")]
