from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable

import pytest
from azure.core.exceptions import ClientAuthenticationError

from cosmos_emulator import EmulatorServer
from cosmos_emulator.faults import parse_fault
from projector.core.errors import (
    ConfigurationError,
    LeaseStoreUnavailable,
    ProjectorError,
    SourceMissing,
    SourceUnavailable,
    Throttled,
)
from projector.cosmos.change_source import CosmosChangeSource
from projector.cosmos.client import ContainerPath, CosmosAccount, CosmosGateway
from projector.cosmos.document_scan import CosmosCartDocuments, CosmosDocumentScanner
from projector.cosmos.lease_container import LeaseContainer
from projector.cosmos.point_reads import CosmosPointReader
from tests.contract.change_source import KEYS, drain_all, fill
from tests.integration.cosmos.support import CART, LEASE, EmulatedWorld, account_of, emulated_world

OTHER_KEY = base64.b64encode(b"not the key of this account").decode()


async def failure(account: CosmosAccount, path: ContainerPath = CART) -> ProjectorError:
    """The error that a first look at the container ends in."""
    async with CosmosGateway(account) as gateway:
        with pytest.raises(ProjectorError) as caught:
            await CosmosChangeSource(gateway, path).container_rid()
    assert "\n" not in str(caught.value)
    if account.key is not None:
        assert account.key not in f"{caught.value} {account!r}"
    return caught.value


async def test_wrong_key_names_its_setting(emulator: EmulatorServer) -> None:
    error = await failure(account_of(emulator, key=OTHER_KEY))
    assert isinstance(error, ConfigurationError)
    assert "PROJECTOR_COSMOS_KEY" in str(error)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(ContainerPath(database="acme-webstore", container="no"), id="container"),
        pytest.param(ContainerPath(database="no", container="cart"), id="database"),
    ],
)
async def test_missing_container_or_database_is_named(
    world: EmulatedWorld, path: ContainerPath
) -> None:
    error = await failure(account_of(world.server), path)
    assert isinstance(error, SourceMissing)
    assert "'no'" in str(error)
    assert "PROJECTOR_COSMOS_CONTAINER" in str(error)


async def test_account_that_nobody_serves_is_named(emulator: EmulatorServer) -> None:
    account = account_of(emulator)
    await emulator.stop()
    error = await failure(account)
    assert isinstance(error, SourceUnavailable)
    assert account.endpoint in str(error)


async def test_account_that_hangs_is_given_up(emulator: EmulatorServer) -> None:
    async with emulated_world(emulator) as world:
        await world.fault(operation="read_account", action="hang")
        error = await failure(account_of(emulator, deadline_seconds=0.3))
    assert isinstance(error, SourceUnavailable)


@pytest.mark.parametrize(
    "endpoint",
    ["", "acme.documents.azure.com", "ftp://acme", "https://", "http://[::1"],
)
def test_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="PROJECTOR_COSMOS_ENDPOINT"):
        CosmosAccount(endpoint=endpoint, key=OTHER_KEY)


def test_key_that_is_no_base64_is_refused_without_being_repeated() -> None:
    with pytest.raises(ConfigurationError, match="PROJECTOR_COSMOS_KEY") as caught:
        CosmosAccount(endpoint="https://acme.documents.azure.com/", key="s3cret!")
    assert "s3cret" not in str(caught.value)


def test_entra_credential_is_never_sent_in_the_clear() -> None:
    with pytest.raises(ConfigurationError, match="https"):
        CosmosAccount(endpoint="http://127.0.0.1:8081/")


def test_account_shows_no_key_and_its_host_as_leases_spell_it() -> None:
    account = CosmosAccount(endpoint="https://ACME.documents.azure.com:443/", key=OTHER_KEY)
    assert OTHER_KEY not in repr(account)
    assert account.host == "acme.documents.azure.com"


class NobodySignedIn:
    """A credential that has no way to get a token."""

    async def get_token(self, *scopes: str, **options: object) -> None:
        raise ClientAuthenticationError("no managed identity here\nand a long explanation")

    async def close(self) -> None:
        return

    async def __aenter__(self) -> NobodySignedIn:
        return self

    async def __aexit__(self, *_: object) -> None:
        return


async def test_missing_entra_credential_is_named_in_one_line() -> None:
    account = CosmosAccount(endpoint="https://127.0.0.1:1/", credential=NobodySignedIn)  # type: ignore[arg-type]  # gives no token
    error = await failure(account)
    assert isinstance(error, ConfigurationError)
    assert "no managed identity here" in str(error)
    assert "PROJECTOR_COSMOS_KEY" in str(error)


async def test_outage_at_the_first_use_heals_by_itself(world: EmulatedWorld) -> None:
    await fill(world)
    await world.fault(operation="read_account", action="hang", times=1)
    async with CosmosGateway(account_of(world.server, deadline_seconds=1.0)) as gateway:
        source = CosmosChangeSource(gateway, CART)
        with pytest.raises(SourceUnavailable):
            await source.container_rid()
        assert len(await drain_all(source)) == len(KEYS)


async def test_client_without_a_fault_is_not_rebuilt(world: EmulatedWorld) -> None:
    await fill(world)
    await world.source.container_rid()
    before = (await world.requests())["read_account"]
    await world.source.rebuild()
    assert len(await drain_all(world.source)) == len(KEYS)
    assert (await world.requests())["read_account"] == before


async def test_call_under_way_survives_a_rebuild(world: EmulatedWorld) -> None:
    await fill(world)
    (target, *_) = await world.targets()
    await world.fault(operation="change_feed", delay_ms=200, times=1)
    await world.fault(operation="change_feed", status=449, times=1)
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(world.source.read_page(target, None, max_documents=10))
        while world.server.faults.listed()[0].get("delay_ms"):  # noqa: ASYNC110 - taken by the server
            await asyncio.sleep(0)
        with pytest.raises(SourceUnavailable):
            await world.source.read_page(target, None, max_documents=10)
        await world.source.rebuild()
        again = await world.source.read_page(target, None, max_documents=10)
    assert slow.result().body == again.body


async def test_closed_gateway_lends_nothing(world: EmulatedWorld) -> None:
    await world.gateway.close()
    with pytest.raises(SourceUnavailable, match="closed"):
        await world.source.container_rid()


async def _read_page(world: EmulatedWorld) -> object:
    (target, *_) = await world.targets()
    return await world.source.read_page(target, None, max_documents=10)


async def _scan(world: EmulatedWorld) -> object:
    (target, *_) = await world.targets()
    scanner = CosmosDocumentScanner(world.gateway, CART)
    return await scanner.scan(target, None, max_documents=10)


PATHS: dict[str, tuple[str, Callable[[EmulatedWorld], Awaitable[object]]]] = {
    "feed": ("change_feed", _read_page),
    "partitions": ("read_pkranges", lambda world: world.source.physical_ranges()),
    "container": ("read_container", lambda world: world.source.container_rid()),
    "point read": (
        "read_item",
        lambda world: CosmosPointReader(world.gateway, CART).read('"key"', "id"),
    ),
    "scan": ("query_items", _scan),
    "cart": (
        "query_items",
        lambda world: CosmosCartDocuments(world.gateway, CART).read('"key"'),
    ),
    "leases": ("query_items", lambda world: LeaseContainer(world.gateway, LEASE).list("x")),
    "lease read": ("read_item", lambda world: LeaseContainer(world.gateway, LEASE).read("x")),
    "lease written": (
        "create_item",
        lambda world: LeaseContainer(world.gateway, LEASE).create({"id": "x"}),
    ),
}


@pytest.mark.parametrize("wait", [{}, {"retry_after_ms": 0}, {"retry_after_ms": 600_000}])
@pytest.mark.parametrize(("operation", "ask"), PATHS.values(), ids=PATHS.keys())
async def test_throttled_call_asks_once_and_leaves_the_waiting_to_its_caller(
    world: EmulatedWorld,
    operation: str,
    ask: Callable[[EmulatedWorld], Awaitable[object]],
    wait: dict[str, int],
) -> None:
    await LeaseContainer(world.gateway, LEASE).create({"id": "first"})
    await world.write("key", "id")
    await world.source.container_rid()
    before = (await world.requests()).get(operation, 0)
    await world.fault(operation=operation, status=429, **wait)
    async with asyncio.timeout(60):
        with pytest.raises((Throttled, LeaseStoreUnavailable)) as caught:
            await ask(world)
    assert (await world.requests())[operation] == before + 1
    assert isinstance(caught.value, Throttled | LeaseStoreUnavailable)
    assert caught.value.retry_after_seconds == wait.get("retry_after_ms", 500) / 1000


async def test_throttled_account_is_not_asked_again_at_once(emulator: EmulatorServer) -> None:
    emulator.faults.install(parse_fault({"operation": "read_account", "status": 429}))
    error = await failure(account_of(emulator))
    assert isinstance(error, Throttled)
    assert emulator.meter.operations()["read_account"]["requests"] == 1


async def test_command_without_a_loop_of_its_own_waits_while_throttled(
    emulator: EmulatorServer,
) -> None:
    async with emulated_world(emulator, throttled_seconds=60.0) as world:
        await world.source.container_rid()
        await world.fault(operation="read_container", status=429, retry_after_ms=5, times=2)
        assert await world.source.container_rid()
        await world.fault(operation="read_container", status=429, retry_after_ms=600_000)
        async with asyncio.timeout(30):
            with pytest.raises(Throttled):
                await world.source.container_rid()
