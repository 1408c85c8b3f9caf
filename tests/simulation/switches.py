"""The moment of a switch: what goes on around it, and what has to be true after it.

Hosts usually bring every generation everything at once, so that a switch at any moment would be right. Here
the generation that is switched to may be held back meanwhile: what readers have seen by then is not in it,
and the switch has to wait for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import psycopg
from typing_extensions import override

from projector.operations.generations import live_of
from projector.operations.rebuild import Compared, OnCompared, Promotion
from projector.ports.generations import GenerationRecord
from projector.postgres.connections import Connections
from projector.postgres.generations import generation_of
from projector.postgres.views import views_of
from projector.wiring.opening import Account
from projector.wiring.rebuilds import _Reached
from tests.simulation.operators import operator_of
from tests.simulation.oracle import Key, Row, actual_rows, epk_of, expected_rows
from tests.simulation.ports import Passage
from tests.simulation.world import GatedConnections, World, processor_of

HELD_STEPS = 8
STEP_SECONDS = 0.5

# An etag of the emulator begins with the number of the version in its container. (LSNs tell nothing: what
# was loaded by a scan has that of its page.)
IS_BEHIND = """
SELECT EXISTS (SELECT FROM {live} l LEFT JOIN {other} o USING ({key}, id)
  WHERE NOT l.deleted
    AND (o.etag IS NULL OR left(ltrim(o.etag, '"'), 8) < left(ltrim(l.etag, '"'), 8)))"""


@dataclass(slots=True, kw_only=True)
class SimulatedReached(_Reached):
    """Both sides of a command, of one world; `holds`: so many attempts to switch meet a generation that lags."""

    world: World
    passage: Passage
    holds: int
    done: Counter[str]

    @override
    async def sessions_of(self, record: GenerationRecord) -> Connections:
        return GatedConnections(await self.world.pool(record.control), self.passage)

    @override
    @asynccontextmanager
    async def account_of(self, record: GenerationRecord) -> AsyncIterator[Account]:
        yield self.world.account(self.passage, self.clock, processor_of(record.id))

    @override
    async def promote(self, record: GenerationRecord, promotion: Promotion) -> str:
        async with self._looked_at(record):
            return await _Reached.promote(self, record, promotion)

    @override
    async def roll_back(self, record: GenerationRecord, who: str) -> str:
        async with self._looked_at(record):
            return await _Reached.roll_back(self, record, who)

    @asynccontextmanager
    async def _looked_at(self, record: GenerationRecord) -> AsyncIterator[None]:
        """Whoever read just before a switch reads again just after it."""
        async with AsyncExitStack() as stack:
            if self.holds:
                self.holds -= 1
                lags = await stack.enter_async_context(_held_back(self.world, record))
                self.done["met a generation that lags"] += lags
            self.world.look()
            yield
            self.world.look()

    @override
    async def compare(self, record: GenerationRecord, on_compared: OnCompared) -> Compared:
        operator = await operator_of(self.world, record, self.passage.name, self.passage)
        report = await operator.verify(repair=False)
        counts = {**report.counts(), "examples": []}
        return Compared(consistent=report.consistent, counts=counts)


@asynccontextmanager
async def _held_back(world: World, record: GenerationRecord) -> AsyncIterator[bool]:
    """Shoppers write what the live generation takes in, and this one does not yet; whether it came to that."""
    lags = False
    world.held.add(record.id)
    try:
        for _ in range(HELD_STEPS):
            if not world.quiet:
                world.shop.write()
            await asyncio.sleep(STEP_SECONDS)
            lags = _is_behind(world, record, live_of(await world.records()))
            if lags:
                break
        yield lags
    finally:
        world.held.discard(record.id)


def _is_behind(world: World, record: GenerationRecord, live: GenerationRecord) -> bool:
    text = IS_BEHIND.format(
        live=generation_of(live).rows,
        other=generation_of(record).rows,
        key=record.definition.key.column,
    )
    with psycopg.connect(world.url) as connection, suppress(psycopg.errors.UndefinedTable):
        return connection.execute(text.encode()).fetchone() == (True,)
    return False  # it was given up


class Settled:
    """Documents that nobody touches from before a generation is compared until it is live.

    It was promoted because it equals the container: so these are in it as they are there.
    """

    def __init__(self, world: World, record: GenerationRecord) -> None:
        """Look at both sides now, before the comparison."""
        self._world, self._record = world, record
        self._losses = world.losses
        self._documents, self._rows = self._look()

    def wrong(self) -> list[str]:
        """What differs although the gate was open, one line each."""
        if self._world.losses != self._losses:
            return []
        documents, rows = self._look()
        told = [
            f"{key}: {rows.get(key)} instead of {row}"
            for key, row in self._documents.items()
            if documents.get(key) == row and rows.get(key) != row
        ]
        told += [
            f"{key}: {row} of no document"
            for key, row in self._rows.items()
            if rows.get(key) == row and key not in self._documents and key not in documents
        ]
        return [f"generation {self._record.id}: {one}" for one in told]

    def _look(self) -> tuple[dict[Key, Row], dict[Key, Row]]:
        """Documents, as rows; and the rows that there are."""
        shop, projection = self._world.shop, self._world.trade.projection
        definition, hidden = projection.definition, shop.hidden()
        [query] = [
            view.query
            for view in views_of(generation_of(self._record))
            if view.name == definition.rows
        ]
        with psycopg.connect(self._world.url) as connection:
            rows = actual_rows(connection, definition, f"({query}) AS shown")
        documents = expected_rows(shop.container, projection)
        for found in (documents, rows):
            for key in [key for key in found if (epk_of(key[0]), key[1]) in hidden]:
                del found[key]
        return documents, rows
