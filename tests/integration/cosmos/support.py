"""A container and a lease container on the emulator, written to beside the code under test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy

from cosmos_emulator import EmulatorServer
from cosmos_emulator.faults import parse_fault
from projector.core.names import Continuation
from projector.cosmos.change_source import CosmosChangeSource
from projector.cosmos.client import ContainerPath, CosmosAccount, CosmosGateway
from projector.cosmos.lease_container import LeaseContainer
from projector.cosmos.lease_documents import lease_prefix
from projector.cosmos.lease_store import CosmosBootstrapMarkers, CosmosLeaseStore
from projector.ports.feed import BootstrapMarkers, ChangeSource, FeedTarget, LeaseStore
from tests.contract.change_source import RETRY_AFTER_SECONDS, Trouble, target_of
from tests.fixtures.emulator import control

CART = ContainerPath(database="acme-webstore", container="cart")
LEASE = ContainerPath(database="acme-webstore", container="lease")
COLLECTION = "dbs/acme-webstore/colls/cart"

FAULTS: dict[Trouble, dict[str, Any]] = {
    Trouble.THROTTLED: {
        "status": 429,
        "retry_after_ms": int(RETRY_AFTER_SECONDS * 1000),
        "times": 1,
    },
    Trouble.UNAVAILABLE: {"status": 449, "times": 1},  # the SDK asks again after a 5xx
    Trouble.PAGE_TOO_LARGE: {"status": 413, "times": 1},
    Trouble.CREDENTIAL_EXPIRED: {"status": 403, "substatus": 5300, "times": 1},
}


def account_of(server: EmulatorServer, **options: Any) -> CosmosAccount:
    """How the emulator is reached, with waits that suit a test."""
    settings: dict[str, Any] = {"endpoint": server.endpoint, "key": server.key} | options
    return CosmosAccount(**settings)


class EmulatedWorld:
    """`SourceWorld` on the emulator; writes go through a client of their own."""

    def __init__(
        self, server: EmulatorServer, gateway: CosmosGateway, writer: CosmosGateway
    ) -> None:
        self.server = server
        self.gateway = gateway
        self.source: ChangeSource = CosmosChangeSource(gateway, CART)
        self._writer = writer
        self._offset_seconds = 0.0

    @asynccontextmanager
    async def container(self) -> AsyncIterator[ContainerProxy]:
        """The container, for the test to write to."""
        async with self._writer.container(CART) as container:
            yield container

    async def create_containers(self, **options: Any) -> None:
        async with self._writer.database(CART) as database:
            await database.create_container(
                "cart", PartitionKey("/cartId"), default_ttl=-1, **options
            )

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._offset_seconds)

    async def write(self, key: Any, document_id: str, **fields: object) -> None:
        async with self.container() as container:
            await container.upsert_item({"id": document_id, "cartId": key} | fields)

    async def delete(self, key: str, document_id: str) -> None:
        async with self.container() as container:
            await container.delete_item(document_id, key)

    async def split(self, range_id: str) -> None:
        await control(self.server, f"{COLLECTION}/split", {"range": range_id})

    async def merge(self, range_ids: Sequence[str]) -> None:
        await control(self.server, f"{COLLECTION}/merge", {"ranges": list(range_ids)})

    async def recreate(self) -> None:
        async with self._writer.database(CART) as database:
            await database.delete_container("cart")
        await self.create_containers()

    async def disturb(self, trouble: Trouble) -> None:
        await self.fault(operation="change_feed", **FAULTS[trouble])

    async def fault(self, **fields: Any) -> None:
        """Install a fault; see the emulator's control."""
        self.server.faults.install(parse_fault(fields))

    async def heal(self) -> None:
        """Remove all faults."""
        self.server.faults.clear()

    async def raw(self, body: bytes) -> None:
        """Store bytes as a document."""
        await control(self.server, f"{COLLECTION}/raw", body)

    async def advance(self, seconds: float) -> None:
        """Shift the service's clock."""
        self._offset_seconds += seconds
        await control(self.server, "clock", {"offset_seconds": self._offset_seconds})

    async def requests(self) -> dict[str, int]:
        """Requests so far, by operation."""
        stats = await control(self.server, "stats", method="GET")
        return {name: one["requests"] for name, one in stats["operations"].items()}

    async def targets(self) -> list[FeedTarget]:
        return [target_of(one) for one in await self.source.physical_ranges()]

    async def places(self) -> dict[str, Continuation]:
        """Where each range ends now."""
        return {
            target.range_id: (
                await self.source.read_page(target, None, max_documents=10_000)
            ).continuation
            for target in await self.targets()
        }


@asynccontextmanager
async def emulated_world(server: EmulatorServer, **options: Any) -> AsyncIterator[EmulatedWorld]:
    """An empty cart container on a running emulator; `options` are those of the account."""
    async with (
        CosmosGateway(account_of(server, **options)) as gateway,
        CosmosGateway(account_of(server, verify_tls=False)) as writer,
    ):
        world = EmulatedWorld(server, gateway, writer)
        await create_database(writer)
        await world.create_containers()
        yield world


async def create_database(gateway: CosmosGateway) -> None:
    """The database that both containers live in."""
    async with gateway.database(CART) as database:
        client: Any = database.client_connection
        await client.CreateDatabase({"id": CART.database})


class ShiftedClock:
    """The real time plus what a test let pass."""

    def __init__(self) -> None:
        self.offset_seconds = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset_seconds)

    def monotonic(self) -> float:
        return self.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        self.offset_seconds += seconds


class EmulatedLeases:
    """`LeaseWorld` on the emulator: every host has a client of its own."""

    def __init__(self, server: EmulatorServer, first: CosmosGateway, second: CosmosGateway) -> None:
        self.server = server
        self.clock = ShiftedClock()
        self._first = first
        self.prefix = self.prefix_of("projector")
        mine, theirs = LeaseContainer(first, LEASE), LeaseContainer(second, LEASE)
        self.container = mine
        self.store: LeaseStore = CosmosLeaseStore(mine, prefix=self.prefix)
        self.markers: BootstrapMarkers = CosmosBootstrapMarkers(
            mine, prefix=self.prefix, clock=self.clock
        )
        self.other_host: LeaseStore = CosmosLeaseStore(theirs, prefix=self.prefix)
        self.other_markers: BootstrapMarkers = CosmosBootstrapMarkers(
            theirs, prefix=self.prefix, clock=self.clock
        )
        self.other_processor: LeaseStore = CosmosLeaseStore(
            theirs, prefix=self.prefix_of("another")
        )

    def prefix_of(self, processor_name: str) -> str:
        return lease_prefix(
            processor_name=processor_name,
            endpoint_host=self._first.account.host,
            container_rid="b0wPAK3lXxQ=",
        )

    async def create_container(self, path: str, **options: Any) -> None:
        async with self._first.database(LEASE) as database:
            await database.create_container("lease", PartitionKey(path), **options)

    async def wipe(self) -> None:
        async with self._first.database(LEASE) as database:
            await database.delete_container("lease")

    async def advance(self, seconds: float) -> None:
        self.clock.offset_seconds += seconds
        await control(self.server, "clock", {"offset_seconds": self.clock.offset_seconds})

    async def raw_documents(self) -> list[dict[str, Any]]:
        """Everything in the lease container as it is stored."""
        async with self._first.container(LEASE) as container:
            return [one async for one in container.query_items("SELECT * FROM c")]

    async def put(self, document: dict[str, Any]) -> None:
        """Store a document as another program would."""
        async with self._first.container(LEASE) as container:
            await container.upsert_item(document)


@asynccontextmanager
async def emulated_leases(server: EmulatorServer) -> AsyncIterator[EmulatedLeases]:
    """No lease container yet, on a running emulator with the database."""
    async with (
        CosmosGateway(account_of(server)) as first,
        CosmosGateway(account_of(server)) as second,
    ):
        await create_database(first)
        yield EmulatedLeases(server, first, second)
