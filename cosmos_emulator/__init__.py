"""The embedded Cosmos-compatible server, and the engine behind it for use without HTTP.

It imports nothing of the rest of the project and no client library, so that it judges them by the wire
protocol alone.
"""

from __future__ import annotations

from cosmos_emulator.engine import Engine
from cosmos_emulator.errors import EmulatorError
from cosmos_emulator.server import EmulatorServer

__all__ = ["EmulatorError", "EmulatorServer", "Engine"]
