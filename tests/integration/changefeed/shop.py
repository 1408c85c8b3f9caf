"""A shop whose cart container the library reads, and what its handler saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient, DatabaseProxy

from cosmos_emulator import EmulatorServer
from projector.changefeed import (
    ChangeContext,
    ChangeFeedProcessor,
    CosmosContainer,
    ProcessorTuning,
)

NAMES = [f"cart-{number}" for number in range(40)]
COLLECTION = "dbs/acme-webstore/colls/cart"
DEADLINE_SECONDS = 120.0


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not holds():  # noqa: ASYNC110 - the condition is the processor's affair
            await asyncio.sleep(0.01)


class Shop:
    """A database with the monitored container, written to by the SDK."""

    def __init__(self, server: EmulatorServer, database: DatabaseProxy) -> None:
        self.server = server
        self.database = database
        self.cart: ContainerProxy = database.get_container_client("cart")
        self.lease: ContainerProxy = database.get_container_client("lease")
        self.seen: list[str] = []
        self.contexts: list[ChangeContext] = []

    async def write(self, *names: str) -> None:
        for name in names:
            await self.cart.upsert_item({"id": name, "cartId": name, "quantity": 1})

    async def handle(self, changes: list[dict[str, Any]], context: ChangeContext) -> None:
        self.seen += [change["id"] for change in changes]
        self.contexts.append(context)

    def address(self, container: str = "cart", **changes: Any) -> CosmosContainer:
        where: dict[str, Any] = {
            "endpoint": self.server.endpoint,
            "key": self.server.key,
            "database": "acme-webstore",
            "container": container,
        }
        return CosmosContainer(**where | changes)

    def processor(self, **options: Any) -> ChangeFeedProcessor[Any]:
        chosen: dict[str, Any] = {
            "container": self.address(),
            "lease_container": self.address("lease"),
            "handler": self.handle,
            "processor_name": "test",
            "start_from": "beginning",
            "tuning": ProcessorTuning(poll_max_seconds=0.1, lease_acquire_seconds=0.3),
        }
        return ChangeFeedProcessor(**chosen | options)

    async def leases(self) -> list[dict[str, Any]]:
        query = "SELECT * FROM c WHERE IS_DEFINED(c.LeaseToken)"
        return [item async for item in self.lease.query_items(query)]


@asynccontextmanager
async def opened(server: EmulatorServer) -> AsyncIterator[Shop]:
    async with CosmosClient(server.endpoint, server.key) as client:
        database = await client.create_database("acme-webstore")
        await database.create_container("cart", PartitionKey("/cartId"), default_ttl=-1)
        yield Shop(server, database)
