"""The embedded Cosmos-compatible server, and the engine behind it for use without HTTP.

It imports nothing of the rest of the project and no client library, so that it judges them by the wire
protocol alone.
"""

from __future__ import annotations

from projector.emulator.engine import Engine
from projector.emulator.errors import EmulatorError
from projector.emulator.server import EmulatorServer

__all__ = ["EmulatorError", "EmulatorServer", "Engine"]
