"""A container on the emulator, and a generation beside the live one that is filled from it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from cosmos_emulator import EmulatorServer
from projector.core.lease import Lease
from projector.ports.filling import Filled
from projector.ports.generations import FillPart, FillSource
from projector.postgres import tables
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.fill_parts import parts
from projector.postgres.generation import Generation
from projector.postgres.verification import Verification
from projector.processor.clock import SystemClock
from projector.projection.carts import CARTS
from projector.rebuild.fill import Filler
from projector.reconcile.parts import Waiting
from projector.reconcile.report import VerifyReport
from projector.reconcile.verify import Verifier, VerifyOptions
from projector.settings import Settings
from projector.wiring.filling import filler
from projector.wiring.opening import Account, account
from tests.fixtures.emulator import control
from tests.integration.cosmos.support import COLLECTION, EmulatedWorld, emulated_world

PROCESSOR = "projector@g2"
LIVE_ROWS = """
SELECT cart_id, id, item, quantity, unit_price, currency, etag, ts, extra::text, lsn
FROM {schema}.cart_items WHERE NOT deleted ORDER BY cart_id COLLATE "C", id COLLATE "C\""""
TOTALS = (
    """
SELECT cart_id, bucket, line_count, total_quantity, total_amount, last_changed_at
FROM {schema}.cart_totals WHERE line_count <> 0 ORDER BY cart_id COLLATE "C", bucket""",
    """
SELECT item, line_count, total_quantity FROM {schema}.item_totals WHERE line_count <> 0
ORDER BY item COLLATE "C\"""",
)


def second(schema: str = "projector_g2") -> Generation:
    """A generation of the same definition beside the live one."""
    return Generation(definition=CARTS, schema=schema, control=schema)


class Site:
    """The container, the database, and everything a test does to them."""

    def __init__(self, server: EmulatorServer, world: EmulatedWorld, database_url: str) -> None:
        self.world = world
        self.url = database_url
        self.generation = second()
        self.filled: list[Filled] = []
        self.values: dict[str, Any] = {
            "cosmos_endpoint": server.endpoint,
            "cosmos_key": server.key,
            "database_url": database_url,
            "web_port": 0,
            "poll_max_seconds": 0.1,
            "rebuild_page_size": 10,
            "processor_name": PROCESSOR,
        }

    def settings(self, **values: Any) -> Settings:
        return Settings(**(self.values | values))

    async def make(self, generation: Generation | None = None) -> None:
        """The tables of the generation, plain and empty."""
        for statement in tables.plain_statements(generation or self.generation):
            await self.sql(statement)

    async def load(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Write documents into the container, many at once."""
        body = "\n".join(map(json.dumps, documents)).encode()
        await control(self.world.server, f"{COLLECTION}/bulk", body)

    @asynccontextmanager
    async def connections(self, schema: str | None = None) -> AsyncIterator[Connections]:
        options = ConnectionOptions(url=self.url, control=schema or self.generation.control)
        async with Connections(options) as opened:
            yield opened

    @asynccontextmanager
    async def filling(
        self, source: FillSource = FillSource.FEED, **values: Any
    ) -> AsyncIterator[Filler]:
        """One process's share, ready to run."""

        async def done(filled: Filled) -> None:
            self.filled.append(filled)

        settings = self.settings(**values)
        async with self.connections() as opened, self.account(settings) as reached:
            yield filler(
                settings,
                reached,
                opened,
                generation=self.generation,
                source=source,
                processor_name=PROCESSOR,
                clock=SystemClock(),
                done=done,
            )

    @asynccontextmanager
    async def account(self, settings: Settings | None = None) -> AsyncIterator[Account]:
        async with account(settings or self.settings(), clock=SystemClock()) as reached:
            yield reached

    async def fill(self, source: FillSource = FillSource.FEED, **values: Any) -> Filled:
        """Fill to the end in this process."""
        async with self.filling(source, **values) as share, asyncio.timeout(120):
            await share.run()
        return self.filled[-1]

    async def parts(self) -> Sequence[FillPart]:
        async with self.connections() as opened:
            return await parts(opened)

    async def leases(self) -> Sequence[Lease]:
        async with self.account() as reached:
            return await reached.leases.list_leases()

    async def verify(self) -> VerifyReport:
        """Compare the filled generation with the container."""
        settings = self.settings(page_size=100)
        async with self.connections() as opened, self.account() as reached:
            verifier = Verifier(
                source=reached.source,
                scanner=reached.scanner,
                reader=reached.points,
                projection=settings.projection,
                store=Verification(
                    opened, container_rid=reached.container_rid, generation=self.generation
                ),
                clock=SystemClock(),
                draw=random.random,
                options=VerifyOptions(page_size=100, waiting=Waiting(stall_seconds=0.0)),
            )
            return await verifier.verify(repair=False)

    async def sql(self, statement: str, *parameters: object) -> list[TupleRow]:
        """Run a statement behind the projector's back."""
        connection = await psycopg.AsyncConnection.connect(self.url, autocommit=True)
        async with connection:
            cursor = await connection.execute(statement.encode(), parameters or None)
            return [] if cursor.description is None else await cursor.fetchall()

    async def rows(self, schema: str | None = None) -> list[TupleRow]:
        return await self.sql(LIVE_ROWS.replace("{schema}", schema or self.generation.schema))

    async def totals(self, schema: str | None = None) -> list[list[TupleRow]]:
        return [
            await self.sql(one.replace("{schema}", schema or self.generation.schema))
            for one in TOTALS
        ]


@asynccontextmanager
async def opened_site(server: EmulatorServer, database_url: str) -> AsyncIterator[Site]:
    async with emulated_world(server) as world:
        yield Site(server, world, database_url)


def lines(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Lines of carts of five, in more than one currency."""
    return [
        {
            "id": f"line-{number}",
            "cartId": f"cart-{number // 5}",
            "item": f"item {number % 7}",
            "quantity": number % 9 + 1,
            "price": number / 4,
            "currency": "EUR" if number % 11 else "USD",
            "note": f"n{number}",
        }
        for number in range(first, first + count)
    ]
