"""Random histories of rebuilds: whatever is made, switched, given up or dropped, readers see one whole.

Each generation is fed by itself, some of them late; a model of each says what it has to hold. After every
step the views must be the model of the live one, and a snapshot of before must be what was live then.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest

from projector.core.errors import RebuildError, SinkUnavailable
from projector.ports.feed import Grant
from projector.postgres import generations as registry
from projector.postgres import retiring, switching
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.sink import PostgresSink
from projector.projection.writes import RowWrite
from tests.integration.postgres.carts import VIEWS, Model, Shop, apply, begun, page, views
from tests.integration.postgres.generations import WHO, made

STEPS = {"feed": 12, "write": 8, "begin": 4, "promote": 5, "back": 4, "abort": 1, "end": 1, "snapshot": 3}  # fmt: skip


class Fed:
    """A generation, how far it was fed, and what it has to hold."""

    def __init__(self, sink: PostgresSink, grant: Grant) -> None:
        self.sink, self.grant = sink, grant
        self.place, self.model = 0, Model()


class History:
    """One database, its generations, and those who look."""

    def __init__(self, url: str, shared: Connections, seed: int, stack: AsyncExitStack) -> None:
        self.url, self.shared, self.stack = url, shared, stack
        self.shop = Shop(seed)
        self.draw = self.shop.draw
        self.log: list[RowWrite] = []
        self.fed: dict[int, Fed] = {}
        self.live = 1
        self.reigns: list[int] = []
        self.making: int | None = None
        self.snapshots: list[tuple[psycopg.Connection, Mapping[str, Any]]] = []

    async def begin_to_feed(self, generation: Generation) -> None:
        options = ConnectionOptions(url=self.url, control=generation.control, connections=2)
        own = await self.stack.enter_async_context(Connections(options))
        sink = PostgresSink(own, generation=generation)
        self.fed[generation.id] = Fed(sink, await begun(sink))

    async def write(self) -> None:
        for _ in range(self.draw.randint(1, 6)):
            cart, document = self.draw.choice(self.shop._keys)
            self.log.append(self.shop._draw(cart, document, len(self.log) + 1))

    async def feed(self) -> None:
        one = self.fed[self.draw.choice(list(self.fed))]
        some = self.log[one.place : one.place + self.draw.choice([1, 3, 100])]
        if some:
            newest = {(write.key, write.id): write for write in some}
            await apply(one.sink, one.grant, page(*newest.values()), at=some[-1].lsn)
            one.place += len(some)
            one.model.apply(some)

    async def begin(self) -> None:
        if self.making is not None:
            with pytest.raises(RebuildError, match="already"):
                await made(self.shared)
            return
        new = await made(self.shared)
        self.making = new.record.id
        await self.begin_to_feed(new.generation)

    def is_behind(self, number: int) -> bool:
        old, new = self.fed[self.live], self.fed[number]
        return old.place > 0 and new.place < old.place

    async def promote(self) -> None:
        number = self.making
        if number is None:
            return
        if self.is_behind(number):
            with pytest.raises(SinkUnavailable, match=rf"generation {number} is "):
                await switching.promote(self.shared, number, keep_seconds=3600, who=WHO)
            return
        await switching.promote(self.shared, number, keep_seconds=3600, who=WHO)
        self.making = None
        self.switched(number)

    def switched(self, to: int) -> None:
        self.reigns = [one for one in self.reigns if one != self.live]
        self.reigns.append(self.live)
        self.live = to

    async def back(self) -> None:
        former = [one for one in self.reigns if one in self.fed and one != self.live]
        if not former:
            with pytest.raises(RebuildError, match="nothing to go back to"):
                await switching.rollback(self.shared, keep_seconds=3600, who=WHO)
        elif self.is_behind(former[-1]):
            with pytest.raises(SinkUnavailable, match=r"generation \d+ is "):
                await switching.rollback(self.shared, keep_seconds=3600, who=WHO)
        else:
            await switching.rollback(self.shared, keep_seconds=3600, who=WHO)
            self.switched(former[-1])

    async def abort(self) -> None:
        if self.making is not None:
            await registry.abort(self.shared, self.making, who=WHO)
            del self.fed[self.making]
            self.making = None
            assert [one.left for one in await retiring.drop_ended(self.shared)] == [[]]

    async def end(self) -> None:
        self.look_back()  # a snapshot of that time would look for tables that are gone
        over = "UPDATE projector.generations SET fed_until = now() WHERE state = 'former'"
        async with self.shared.session() as session:
            await session.execute(over)
        for number in await retiring.retire(self.shared):
            del self.fed[number]
        await retiring.drop_ended(self.shared)

    async def snapshot(self) -> None:
        session = psycopg.connect(self.url)
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.execute("SELECT 1")
        self.snapshots.append((session, copy.deepcopy(self.fed[self.live].model.views())))

    def look_back(self) -> None:
        for session, told in self.snapshots:
            with session:
                found = {name: set(session.execute(text.encode())) for name, text in VIEWS.items()}
            assert found == told
        self.snapshots = []


@pytest.mark.parametrize("seed", [1, 2, 11, 13])
async def test_readers_see_one_generation_whole_in_any_history(
    database_url: str, connections: Connections, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "CATCH_UP_SECONDS", 0.0)
    async with AsyncExitStack() as stack:
        history = History(database_url, connections, seed, stack)
        await history.begin_to_feed(FIRST_GENERATION)
        for _ in range(60):
            [name] = history.draw.choices(list(STEPS), weights=list(STEPS.values()))
            await getattr(history, name)()
            assert await views(connections) == history.fed[history.live].model.views(), name
        history.look_back()
