"""A container on the emulator, its copy in PostgreSQL, and hosts run in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from cosmos_emulator import EmulatorServer
from projector.postgres.connections import ConnectionOptions, Connections
from projector.processor.clock import SystemClock
from projector.reconcile.parts import Waiting
from projector.reconcile.report import VerifyReport
from projector.settings import Settings
from projector.wiring.copy import Copy, both_sides
from projector.wiring.service import Service
from tests.integration.cosmos.support import EmulatedWorld, emulated_world

RECOUNT = """
SELECT (SELECT count(*) FROM (
    SELECT cart_id, bucket, n, q, a, t FROM (
      SELECT cart_id,
        CASE WHEN unit_price IS NULL THEN '' ELSE COALESCE(currency, '-') END AS bucket,
        count(*) AS n, sum(quantity) AS q, COALESCE(sum(quantity * unit_price), 0) AS a,
        to_timestamp(max(ts)) AS t
      FROM projector_g1.cart_items WHERE NOT deleted GROUP BY 1, 2) l
    FULL JOIN (SELECT * FROM projector_g1.cart_totals WHERE line_count <> 0
      OR total_quantity <> 0 OR total_amount <> 0) c USING (cart_id, bucket)
    WHERE (l.n, l.q, l.a, l.t) IS DISTINCT FROM
      (c.line_count, c.total_quantity, c.total_amount, c.last_changed_at)) x)
  + (SELECT count(*) FROM (
    SELECT item FROM (SELECT item, count(*) AS n, sum(quantity) AS q
      FROM projector_g1.cart_items WHERE NOT deleted GROUP BY item) l
    FULL JOIN (SELECT * FROM projector_g1.item_totals WHERE line_count <> 0
      OR total_quantity <> 0) i USING (item)
    WHERE (l.n, l.q) IS DISTINCT FROM (i.line_count, i.total_quantity)) y)"""


class Pair:
    """Both sides of the copy, and everything a test does to them."""

    def __init__(self, server: EmulatorServer, world: EmulatedWorld, database_url: str) -> None:
        self.world = world
        self.url = database_url
        self.stall_seconds = 1.0
        self.values: dict[str, Any] = {
            "cosmos_endpoint": server.endpoint,
            "cosmos_key": server.key,
            "database_url": database_url,
            "web_port": 0,
            "page_size": 10,
            "poll_max_seconds": 0.1,
            "lease_acquire_seconds": 0.3,
        }

    @property
    def settings(self) -> Settings:
        return Settings(**self.values)

    async def drain(self) -> None:
        """One host brings the copy up to date and ends."""
        await Service(self.settings).run(migrate=False, until_caught_up=True)

    @asynccontextmanager
    async def host(self) -> AsyncIterator[Service]:
        """A host runs beside the block."""
        service = Service(self.settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(service.run(migrate=False))
            self.stall_seconds = 30.0  # it moves, however busy this machine is
            try:
                yield service
            finally:
                self.stall_seconds = 1.0
                service.request_stop()

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[Copy]:
        """Both sides as a command reaches them."""
        async with both_sides(self.settings, clock=SystemClock()) as copy:
            yield replace(copy, waiting=Waiting(stall_seconds=self.stall_seconds))

    async def verify(self, *, repair: bool = False) -> VerifyReport:
        async with self.copy() as copy:
            return await copy.verify(repair=repair)

    @asynccontextmanager
    async def connections(self) -> AsyncIterator[Connections]:
        async with Connections(ConnectionOptions(url=self.url)) as connections:
            yield connections

    async def sql(self, statement: str, *parameters: object) -> list[TupleRow]:
        """Run a statement behind the projector's back."""
        connection = await psycopg.AsyncConnection.connect(self.url, autocommit=True)
        async with connection:
            cursor = await connection.execute(statement, parameters)
            return [] if cursor.description is None else await cursor.fetchall()

    async def value(self, statement: str, *parameters: object) -> Any:
        return (await self.sql(statement, *parameters))[0][0]

    async def totals_wrong(self) -> int:
        """Totals that a count of the rows contradicts, told independently of the code."""
        return int(await self.value(RECOUNT))

    async def lines(self, count: int, *, cart: str = "cart") -> None:
        """So many documents, five to a cart."""
        for number in range(count):
            await self.line(f"{cart}-{number // 5}", f"line-{number}")

    async def line(self, cart_id: str, document_id: str, **fields: Any) -> None:
        """One good document."""
        content = {"item": "apple", "quantity": 2, "price": 1.25, "currency": "EUR"} | fields
        await self.world.write(cart_id, document_id, **content)


@asynccontextmanager
async def paired(server: EmulatorServer, database_url: str) -> AsyncIterator[Pair]:
    """An empty container and an empty copy."""
    async with emulated_world(server) as world:
        yield Pair(server, world, database_url)


async def until(look: Callable[[], Any], *, seconds: float = 120.0) -> Any:
    """Wait until `look` (sync or async) is true; fail at the deadline."""
    async with asyncio.timeout(seconds):
        while True:
            found = look()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)
