"""The server itself: where it listens, what it announces, how it ends."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from cryptography import x509

from cosmos_emulator import EmulatorServer, Engine
from cosmos_emulator.addresses import addresses_of
from cosmos_emulator.serving import serve
from tests.fixtures.emulator import running_emulator
from tests.fixtures.emulator_wire import wire
from tests.fixtures.ports import free_port

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested


async def announced(server: EmulatorServer) -> tuple[list[str], list[str]]:
    """What serving says, and what it warns of, until it is ready."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    warnings: list[str] = []
    task = asyncio.create_task(serve(server, announce=lines.put_nowait, warn=warnings.append))
    try:
        async with asyncio.timeout(60):
            said = [await lines.get() for _ in range(3)]
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    return said, warnings


async def test_serving_announces_endpoint_key_and_readiness() -> None:
    (endpoint, key, ready), warnings = await announced(EmulatorServer(key="a2V5"))
    assert endpoint.startswith("endpoint http://127.0.0.1:")
    assert key == "key a2V5"
    assert ready.startswith("ready")
    assert warnings == []


@pytest.mark.parametrize("host", [EVERYWHERE, "::"])
async def test_who_serves_everybody_is_told_so_and_where(host: str) -> None:
    (endpoint, _, _), (warning,) = await announced(EmulatorServer(host))
    own = addresses_of(host)
    assert (
        endpoint.rpartition(":")[0]
        == f"endpoint http://{f'[{own[0]}]' if host == '::' else own[0]}"
    )
    assert warning.startswith("warning: open to everybody")
    assert all(each in warning for each in own)


async def test_a_certificate_names_every_address() -> None:
    async with running_emulator(host=EVERYWHERE, https=True) as server:
        pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", server.port))
    names = x509.load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    told = {str(each) for each in names.value.get_values_for_type(x509.IPAddress)}
    assert told == {"127.0.0.1", *addresses_of(EVERYWHERE)}


async def test_a_port_in_use_is_an_os_error() -> None:
    async with running_emulator() as server:
        with pytest.raises(OSError, match="address already in use"):
            await EmulatorServer(port=server.port).start()


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
