"""Fifty readers, each in one snapshot, see one generation or the other, whole, whatever is switched."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg

from tests.integration.verify.support import Pair, until
from tests.integration.verify.test_generations import STATE, begin, count, has, promote, roll_back

READERS = 50
WRITES_PER_SECOND = 200
MARK = """
SELECT set_config('projector.copied', 'alone', false);
COPY projector_g2.cart_items (epk, lsn, ts, lineage, deleted, cart_id, id, item, quantity, etag)
FROM STDIN"""

# What must hold in one snapshot: the marked line of the second generation is in all views or in none,
# and every total is what a count of the lines says.
LOOK = (
    "SELECT count(*), count(*) FILTER (WHERE cart_id = 'mark') FROM carts.cart_items",
    "SELECT count(*), count(*) FILTER (WHERE cart_id = 'mark') FROM carts.cart_totals",
    "SELECT count(*), count(*) FILTER (WHERE item = 'mark') FROM carts.item_totals",
    "SELECT count(*), 0 FROM carts.cart_amounts",
    "SELECT count(*), 0 FROM carts.freshness",
)
WRONG = """
SELECT (SELECT count(*) FROM (SELECT cart_id, count(*) AS n, sum(quantity) AS q
    FROM carts.cart_items GROUP BY 1) i FULL JOIN carts.cart_totals t USING (cart_id)
  WHERE (i.n, i.q) IS DISTINCT FROM (t.line_count, t.total_quantity))
  + (SELECT count(*) FROM (SELECT item, count(*) AS n, sum(quantity) AS q
    FROM carts.cart_items GROUP BY 1) i FULL JOIN carts.item_totals t USING (item)
  WHERE (i.n, i.q) IS DISTINCT FROM (t.line_count, t.total_quantity))"""


@dataclass(kw_only=True)
class Seen:
    """What readers have seen; `broken` stays empty."""

    looks: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    broken: list[str] = field(default_factory=list)

    async def more(self, *, marked: bool) -> None:
        """Wait until as many looks as there are readers have seen that generation."""
        enough = self.looks[marked] + READERS // 2
        await until(lambda: self.looks[marked] >= enough or self.broken)


async def read(url: str, seen: Seen, turn: random.Random) -> None:
    session = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with session:
        await session.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        while True:
            try:
                async with session.transaction():
                    order = turn.sample(range(len(LOOK)), len(LOOK))
                    found = {place: await row(session, LOOK[place]) for place in order}
                    wrong = (await row(session, WRONG))[0]
            except psycopg.Error as error:
                seen.broken.append(f"{type(error).__name__}: {error}")
                return
            marks = {found[place][1] for place in range(3)}
            if wrong or len(marks) != 1 or any(found[place][0] == 0 for place in found):
                seen.broken.append(f"{found}, {wrong} totals wrong")
            seen.looks[marks == {1}] += 1
            await asyncio.sleep(turn.random() / 2)


async def row(session: psycopg.AsyncConnection, query: str) -> tuple[int, ...]:
    found = await (await session.execute(query.encode())).fetchone()
    assert found is not None
    return found


@asynccontextmanager
async def readers(url: str, seen: Seen) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(read(url, seen, random.Random(n))) for n in range(READERS)]
        yield
        for task in tasks:
            task.cancel()


async def trade(pair: Pair) -> None:
    """So many writes in a second, in steps."""
    carts = pair.world.server.engine.container("acme-webstore", "cart")
    for number in range(10**9):
        step = number * 10
        for write in range(step, step + 10):
            document = {"id": f"line-{write % 400}", "cartId": f"cart-{write % 60}"}
            carts.upsert({**document, "item": f"item-{write % 7}", "quantity": write % 9 + 1})
        await asyncio.sleep(10 / WRITES_PER_SECOND)


async def mark(pair: Pair) -> None:
    """A line that only the second generation has, counted in its totals."""
    session = await psycopg.AsyncConnection.connect(pair.url)
    setting, copying = MARK.split(";")
    async with session:
        await session.execute(setting.encode())
        async with session.cursor().copy(copying.encode()) as copy:
            await copy.write("1\t1\t1\t0\tf\tmark\tmark\tmark\t1\te\n")


async def test_readers_see_one_generation_whole_whatever_is_switched(pair: Pair) -> None:
    await pair.lines(60)
    await pair.drain()
    seen = Seen()
    async with pair.host(), asyncio.TaskGroup() as group:
        trading = group.create_task(trade(pair))
        async with readers(pair.url, seen):
            number = await begin(pair)
            await until(lambda: has(pair, STATE, "following", number))
            await mark(pair)
            await seen.more(marked=False)
            await promote(pair, number)
            await seen.more(marked=True)
            for marked in (False, True, False):
                await roll_back(pair)
                await seen.more(marked=marked)
        trading.cancel()
    assert seen.broken == []
    assert await count(pair, "projector_g2") > 60
