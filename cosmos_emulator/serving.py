"""Serves an account until it is told to end, and says where; for command lines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cosmos_emulator.addresses import addresses_of, is_loopback, url
from cosmos_emulator.server import EmulatorServer

Say = Callable[[str], None]


async def serve(server: EmulatorServer, *, announce: Say, warn: Say) -> None:
    """Serves until cancelled; announces endpoint, key and then `ready`.

    Raises:
        OSError: it cannot listen there; `addresses.cannot_listen` says why.
    """
    await server.start()
    try:
        if not is_loopback(server.host):
            warn(_open_to_all(server))
        announce(f"endpoint {server.endpoint}")
        announce(f"key {server.key}")
        announce("ready")
        await asyncio.Event().wait()
    finally:
        await server.stop()


def _open_to_all(server: EmulatorServer) -> str:
    places = ", ".join(url(server.scheme, each, server.port) for each in addresses_of(server.host))
    return (
        f"warning: open to everybody who reaches {places}; "
        "control requests need no key; --host 127.0.0.1 serves this machine alone"
    )
