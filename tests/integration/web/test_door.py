"""Whoever comes in the moment in which the door closes is not left behind, open and forgotten."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import suppress

import pytest

from projector.web.door import Door


@pytest.mark.parametrize("turns", range(6))
async def test_a_client_that_comes_as_the_door_closes_is_let_go(turns: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        listening.setblocking(False)
        async with Door([listening], asyncio.Protocol).opened():
            await asyncio.sleep(0.01)
            client.connect(listening.getsockname())
            for _ in range(turns):
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        client.settimeout(10)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    gc.collect()
