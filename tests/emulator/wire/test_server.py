"""The server itself: where it listens, what it announces, how it ends."""

from __future__ import annotations

import asyncio

import pytest

from cosmos_emulator import EmulatorServer, Engine
from cosmos_emulator.server import serve
from tests.fixtures.emulator import running_emulator
from tests.fixtures.emulator_wire import wire
from tests.fixtures.ports import free_port


async def test_serving_announces_endpoint_key_and_readiness() -> None:
    lines: asyncio.Queue[str] = asyncio.Queue()
    serving = serve("127.0.0.1", 0, 2, False, key="a2V5", announce=lines.put_nowait)
    task = asyncio.create_task(serving)
    try:
        async with asyncio.timeout(10):
            announced = [await lines.get() for _ in range(3)]
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    endpoint, key, ready = announced
    assert endpoint.startswith("endpoint http://127.0.0.1:")
    assert key == "key a2V5"
    assert ready.startswith("ready")


async def test_a_port_in_use_is_an_os_error() -> None:
    async with running_emulator() as server:
        port = int(server.endpoint.rstrip("/").rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            await serve("127.0.0.1", port, 4, False, announce=lambda _: None)


async def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    async with running_emulator() as server:
        assert server.endpoint.startswith("http://127.0.0.1:")
    port = free_port()
    async with running_emulator(port=port) as server:
        assert server.endpoint == f"http://127.0.0.1:{port}/"


async def test_an_engine_can_be_brought_along() -> None:
    engine = Engine(now=lambda: 1_800_000_000.0)
    engine.create_database("shop")
    async with running_emulator(engine=engine) as server:
        listed = await wire(server, "GET", "dbs")
    assert [each["id"] for each in listed.json["Databases"]] == ["shop"]
    assert listed.json["Databases"][0]["_ts"] == 1_800_000_000


async def test_a_server_starts_again_with_what_it_held() -> None:
    async with running_emulator() as server:
        server.engine.create_database("shop")
        await server.stop()
        await server.start()
        assert (await wire(server, "GET", "dbs/shop")).status == 200


def test_a_server_that_was_not_started_has_no_endpoint() -> None:
    with pytest.raises(RuntimeError):
        _ = EmulatorServer().endpoint
