"""A server that stops leaves no connection behind, however far it had come."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from urllib.parse import urlsplit

import pytest

from cosmos_emulator import EmulatorServer


@pytest.mark.parametrize("https", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5])
def test_what_was_just_accepted_is_closed(https: bool, turns: int) -> None:
    clients: list[socket.socket] = []

    async def stopped_amid_connections() -> None:
        server = EmulatorServer(https=https)
        await server.start()
        address = urlsplit(server.endpoint)
        clients.extend(socket.create_connection((address.hostname, address.port)) for _ in range(9))
        for _turn in range(turns):
            await asyncio.sleep(0)
        await server.stop()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        asyncio.run(stopped_amid_connections())
        gc.collect()
    for client in clients:
        client.close()
    assert [str(each.message) for each in caught] == []
