"""Readers of the views, each look in one snapshot, until SIGTERM: `python -m benchmarks.reading READERS WHOLE`.

Asks for carts by their keys and compares lines with totals; WHOLE of the readers count all lines and sum all
totals up instead. Says how often readers looked, which generation they met, and what was wrong, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from dataclasses import asdict, dataclass, field

import psycopg

from benchmarks.documents import MARK

KEYS = "SELECT cart_id FROM carts.cart_items LIMIT 20000"
OF_A_CART = """
SELECT (SELECT count(*) FROM carts.cart_items WHERE cart_id = %(cart)s),
  (SELECT coalesce(sum(quantity), 0) FROM carts.cart_items WHERE cart_id = %(cart)s),
  (SELECT coalesce(sum(line_count), 0) FROM carts.cart_totals WHERE cart_id = %(cart)s),
  (SELECT coalesce(sum(total_quantity), 0) FROM carts.cart_totals WHERE cart_id = %(cart)s)"""
OF_ALL = """
SELECT (SELECT count(*) FROM carts.cart_items),
  (SELECT coalesce(sum(quantity), 0) FROM carts.cart_items),
  (SELECT coalesce(sum(line_count), 0) FROM carts.cart_totals),
  (SELECT coalesce(sum(total_quantity), 0) FROM carts.cart_totals)"""
OF_ITEMS = "SELECT count(*), 0, coalesce(sum(line_count), 0), 0 FROM carts.item_totals"
MARKED = """
SELECT (SELECT count(*) FROM carts.cart_items WHERE cart_id = %(mark)s),
  (SELECT count(*) FROM carts.cart_totals WHERE cart_id = %(mark)s),
  (SELECT count(*) FROM carts.item_totals WHERE item = %(mark)s),
  (SELECT count(*) FROM carts.cart_amounts WHERE false) + (SELECT count(*) FROM carts.freshness)"""
PAUSE_SECONDS = 1.0
TOLD = 5


@dataclass(kw_only=True)
class Seen:
    """Looks in all, those that met the marked generation, and what failed or was wrong: how often, and how."""

    looks: int = 0
    marked: int = 0
    wrong: int = 0
    first: list[str] = field(default_factory=list)

    def amiss(self, said: str) -> None:
        """That must not be; only the first ones are told."""
        self.wrong += 1
        if len(self.first) < TOLD:
            self.first.append(said)


async def read(
    url: str, seen: Seen, turn: random.Random, *, whole: bool, ended: asyncio.Event
) -> None:
    """Look again and again; a failed query is noted, and the session made anew."""
    while not ended.is_set():
        try:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as session:
                await session.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
                carts = [str(row[0]) for row in await _rows(session, KEYS)]
                while not ended.is_set():
                    async with session.transaction():
                        await _look(session, seen, turn.choice(carts), whole=whole)
                    await asyncio.sleep(turn.random() * PAUSE_SECONDS)
        except psycopg.Error as error:
            seen.amiss(f"{type(error).__name__}: {error}")


async def _look(session: psycopg.AsyncConnection, seen: Seen, cart: str, *, whole: bool) -> None:
    marks = (await _rows(session, MARKED, mark=MARK))[0]
    lines, quantity, counted, summed = (
        await _rows(session, OF_ALL if whole else OF_A_CART, cart=cart)
    )[0]
    if (lines, quantity) != (counted, summed) or not lines:
        seen.amiss(f"{lines} lines of {quantity}, totals say {counted} of {summed}")
    if whole:
        of_items = (await _rows(session, OF_ITEMS))[0]
        if of_items[2] != lines:
            seen.amiss(f"{lines} lines, totals of items say {of_items[2]}")
    if len(set(marks[:3])) != 1 or not marks[3]:
        seen.amiss(f"two generations in one snapshot: {marks}")
    seen.looks += 1
    seen.marked += marks[0] == 1


async def _rows(
    session: psycopg.AsyncConnection, query: str, **given: str
) -> list[tuple[int, ...]]:
    cursor = await session.execute(query.encode(), given or None)
    return await cursor.fetchall()


async def main(readers: int, whole: int) -> Seen:
    """All readers until SIGTERM."""
    url, seen, ended = os.environ["PROJECTOR_DATABASE_URL"], Seen(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with asyncio.TaskGroup() as group:
        for number in range(readers):
            turn = random.Random(number)
            group.create_task(read(url, seen, turn, whole=number < whole, ended=ended))
    return seen


if __name__ == "__main__":
    found = asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
    sys.stdout.write(json.dumps(asdict(found)) + "\n")
