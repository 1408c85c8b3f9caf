"""A Cosmos DB account for tests: the server, the engine behind it, and the same in a thread of its own.

It imports nothing of the rest of the project and no client library, so that it judges them by the wire
protocol alone. What is named here is loaded when it is first used: pytest loads the package at every
start for the sake of its plugin, also where no test needs an account.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cosmos_emulator.emulator import Emulator
    from cosmos_emulator.engine import Engine
    from cosmos_emulator.errors import EmulatorError
    from cosmos_emulator.server import EmulatorServer

__all__ = ["Emulator", "EmulatorError", "EmulatorServer", "Engine"]

_HOMES = {
    "Emulator": "emulator",
    "EmulatorError": "errors",
    "EmulatorServer": "server",
    "Engine": "engine",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
