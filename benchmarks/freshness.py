"""How soon a write in the container is seen by a query in SQL, at a steady rate of writes.

One host with default settings serves four ranges. Every ten milliseconds a few new documents are
written; each counts as visible when a query by its key finds its row. The query runs every few
milliseconds for all documents that are still awaited, so a figure is too high by that much, never
too low.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import psycopg

from benchmarks.account import Account, emulator, running
from benchmarks.documents import Document, Shop
from benchmarks.findings import Finding, Report, Target, Unit
from benchmarks.suite import Suite
from benchmarks.target import WrongResult, check_totals
from benchmarks.timing import quantile

TICK_SECONDS = 0.01
LOOK_SECONDS = 0.003
SETTLE_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
CONTAINER = "fresh"
VISIBLE = """
SELECT id FROM carts.cart_items
WHERE (cart_id, id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"""


@dataclass(slots=True, kw_only=True)
class Awaited:
    """Documents that were written and not yet seen, with the time of the write."""

    carts: dict[str, str] = field(default_factory=dict)
    written: dict[str, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def add(self, documents: Iterable[Document], now: float) -> None:
        """These are about to be written."""
        for document in documents:
            self.carts[document["id"]] = document["cartId"]
            self.written[document["id"]] = now

    def see(self, ids: Iterable[str], now: float) -> None:
        """These were found in SQL."""
        for found in ids:
            del self.carts[found]
            self.seconds.append(now - self.written.pop(found))


async def _write(
    account: Account, awaited: Awaited, shop: Shop, *, container: str, rate: int, seconds: float
) -> None:
    per_tick = max(1, round(rate * TICK_SECONDS))
    began = time.perf_counter()
    for tick in range(round(seconds / TICK_SECONDS)):
        await asyncio.sleep(max(0.0, began + tick * TICK_SECONDS - time.perf_counter()))
        documents = shop.carts(per_tick)
        awaited.add(documents, time.perf_counter())
        await asyncio.to_thread(account.load, container, documents)


async def _watch(url: str, awaited: Awaited, writing: asyncio.Task[None]) -> None:
    deadline: float | None = None
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while awaited.carts or not writing.done():
            ids = list(awaited.carts)
            carts = [awaited.carts[one] for one in ids]
            cursor = await connection.execute(VISIBLE, [carts, ids], prepare=True)
            rows = await cursor.fetchall()
            now = time.perf_counter()
            awaited.see((row[0] for row in rows), now)
            if writing.done():
                deadline = deadline or now + PATIENCE_SECONDS
                if now > deadline:
                    raise WrongResult(f"{len(awaited.carts)} writes never became visible")
            await asyncio.sleep(LOOK_SECONDS)


async def window(
    account: Account,
    url: str,
    shop: Shop,
    *,
    rate: int,
    seconds: float,
    container: str = CONTAINER,
) -> list[float]:
    """How long each write of a window took to be seen, in seconds."""
    awaited = Awaited()
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(
            _write(account, awaited, shop, container=container, rate=rate, seconds=seconds)
        )
        group.create_task(_watch(url, awaited, writing))
    return awaited.seconds


async def freshness(suite: Suite) -> Report:
    """Windows of steady writes to one host."""
    sizes, shop = suite.sizes, Shop(7)
    halves: list[float] = []
    tails: list[float] = []
    with emulator() as account, suite.server.database() as url:
        account.create(CONTAINER, shop.carts(1000))
        settings = account.settings(container=CONTAINER, url=url, run="fresh")
        with running(["-m", "projector", "run"], settings) as host:
            await window(account, url, shop, rate=100, seconds=SETTLE_SECONDS)
            for number in range(sizes.freshness_windows):
                suite.say(f"round {number + 1}: freshness, {sizes.freshness_seconds:g} s")
                seen = await window(
                    account,
                    url,
                    shop,
                    rate=sizes.writes_per_second,
                    seconds=sizes.freshness_seconds,
                )
                halves.append(quantile(seen, 0.5) * 1000)
                tails.append(quantile(seen, 0.99) * 1000)
            host.stop().expect_success()
        check_totals(url)
    measure = f"freshness at {sizes.writes_per_second} writes/s over 4 ranges"
    return Report(
        case="freshness",
        findings=[
            Finding(
                measure=f"{measure}, p50",
                target=Target(must=250, stretch=150, at_most=True),
                rounds=halves,
                unit=Unit.MILLISECONDS,
            ),
            Finding(
                measure=f"{measure}, p99",
                target=Target(must=1000, stretch=500, at_most=True),
                rounds=tails,
                unit=Unit.MILLISECONDS,
            ),
        ],
    )
