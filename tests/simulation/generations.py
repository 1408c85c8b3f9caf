"""Rebuilds beside the hosts: begun, promoted, rolled back, given up and retired by the code of the commands.

Every session and every call to the container is behind a gate. Filling is the hosts' matter. What no clock of the
database brings here, since it stands still, is brought by steps: a former generation's time is over, a part
is held by nobody any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import psycopg

from projector.core.bookmarks import Snapshot
from projector.operations import rebuild
from projector.operations.generations import being_made, live_of, meant
from projector.operations.rebuild import Wish
from projector.ports.generations import FillSource, GenerationRecord, GenerationState
from projector.postgres import switching
from projector.postgres.bridging import bridge
from projector.postgres.generations import generation_of
from projector.wiring.copy import Copy
from projector.wiring.housekeeping import Work
from projector.wiring.opening import Target
from tests.simulation.operators import operator_of
from tests.simulation.ports import Passage
from tests.simulation.switches import Settled, SimulatedReached
from tests.simulation.world import (
    Begin,
    GatedConnections,
    World,
    WrongError,
    clock_of,
)

PROMOTION_SECONDS = 400.0
WHO = "somebody@simulated"

OVER = "UPDATE projector.generations SET fed_until = now() WHERE state = 'former'"
EXPIRE = "UPDATE {control}.fill_parts SET held_until = now() - interval '1 hour'"

PLANT = """
UPDATE {rows} SET extra = '{{"planted": true}}' WHERE ({key}, id) = (
  SELECT {key}, id FROM {rows} WHERE NOT deleted ORDER BY {key}, id OFFSET %s LIMIT 1) RETURNING 1"""
IS_PLANTED = """
SELECT EXISTS (SELECT FROM {rows} WHERE NOT deleted AND extra @> '{{"planted": true}}')"""


@contextmanager
def own_patience() -> Iterator[None]:
    """Nobody else moves while one call is under way, so nobody is waited for inside of one."""
    seconds = switching.CATCH_UP_SECONDS
    switching.CATCH_UP_SECONDS = 0.0
    try:
        yield
    finally:
        switching.CATCH_UP_SECONDS = seconds


class Rebuilders:
    """People who rebuild one world; `done` counts what was carried through, and what was refused."""

    def __init__(
        self,
        world: World,
        begin: Begin,
        files: Sequence[Snapshot],
        life: Callable[[], Awaitable[None]],
    ) -> None:
        """Start each command with `begin`, beside whatever runs; some rebuilds begin at one of `files`.

        `life` goes on for a while, so that a switch meets what is being written.
        """
        self._world, self._begin, self._files = world, begin, files
        self._life = life
        self._born = self._promoting = 0
        self.done: Counter[str] = Counter()

    async def rebuild(self) -> str:
        """As `projector rebuild start`, now and then with `--promote`."""
        together = self._world.random.random() < 0.7
        return await self._run("rebuild", self._rebuild_and_promote if together else self._rebuild)

    async def promote(self) -> str:
        """As `projector rebuild promote`, now and then with `--force`."""
        return await self._switch("promote", self._promote)

    async def roll_back(self) -> str:
        """As `projector rebuild rollback`."""
        return await self._switch("roll_back", self._roll_back)

    async def switch_at_last(self, *, back: bool) -> str:
        """One of both while nothing fails, and nobody writes but to make the other one lag."""
        work = self._roll_back if back else self._promote
        return await self._run("at_last", work, holds=[1])

    async def abort(self) -> str:
        """As `projector rebuild abort`."""
        return await self._run("abort", self._abort)

    async def retire(self) -> str:
        """As housekeeping does; perhaps the time of what was live before is over."""
        if self._world.random.random() < 0.6:
            self._sql(OVER)
        return await self._run("retire", self._retire)

    async def bridge(self) -> str:
        """As housekeeping does."""
        return await self._run("bridge", self._bridge)

    async def expire_parts(self) -> str:
        """Whoever fills was silent for too long."""
        for one in await self._world.fed():
            if one.state is GenerationState.FILLING:
                self._sql(EXPIRE.format(control=one.control))
                return f"those of generation {one.id}"
        return "nothing is filled"

    async def plant(self) -> str:
        """Somebody makes a row of a new generation wrong, behind everybody's back."""
        record = being_made(await self._world.records())
        if record is None or record.state is GenerationState.FILLING or self._promoting:
            return "nothing to spoil"
        return f"in generation {record.id}" if self._spoil(record) else "no row"

    def _spoil(self, record: GenerationRecord) -> bool:
        text = PLANT.format(rows=generation_of(record).rows, key=record.definition.key.column)
        if not self._sql(text, self._world.random.randrange(5)):
            return False
        self._world.planted.add(record.id)
        return True

    async def _switch(self, what: str, work: Callable[[SimulatedReached], Awaitable[str]]) -> str:
        told = await self._run(what, work)
        if self._world.random.random() < 0.7:
            await self._life()
        return told

    async def _run(
        self,
        what: str,
        work: Callable[[SimulatedReached], Awaitable[str]],
        *,
        holds: Sequence[int] = (0, 1, 2),
    ) -> str:
        self._born += 1
        world = self._world
        passage = Passage(world.loop, world.random, f"{what}-{self._born}")
        passage.slow_rate = world.random.choice([0.0, 0.1, 0.3])
        connections = GatedConnections(await world.pool(), passage)
        reached = SimulatedReached(
            settings=world.settings(rebuild_lag_seconds=world.random.choice([1.0, 5.0, 100.0])),
            clock=clock_of(world),
            target=Target(connections=connections, url=world.url),
            stack=AsyncExitStack(),
            world=world,
            passage=passage,
            holds=world.random.choice(holds),
            done=self.done,
        )

        async def run() -> None:
            self.done[await work(reached)] += 1

        return self._begin(passage, run)

    async def _rebuild(self, reached: SimulatedReached) -> str:
        random = self._world.random
        begins = random.choice(self._files) if self._files and random.random() < 0.15 else None
        source = FillSource.FEED if begins is not None else random.choice(list(FillSource))
        made = await rebuild.start(
            reached.sides,
            Wish(
                definition=self._world.trade.projection.definition,
                who=WHO,
                source=source,
                begins=begins,
            ),
        )
        if begins is None:
            self._world.partial.discard(made.id)  # a database that was lost had one of that number
            return f"begun by {source}"
        self._world.partial.add(made.id)
        return "begun at bookmarks"

    async def _rebuild_and_promote(self, reached: SimulatedReached) -> str:
        self.done[await self._rebuild(reached)] += 1
        return await self._promote(reached)

    async def _promote(self, reached: SimulatedReached) -> str:
        force = self._world.random.random() < 0.1
        self._promoting += 1
        try:
            async with asyncio.timeout(PROMOTION_SECONDS):
                record = meant(await reached.records())
                told = await self._through_the_gate(reached, record, force=force)
                if told == "refused" and record.id in self._world.planted:
                    await _mend(self._world, record)
                    told = await self._through_the_gate(reached, record, force=force)
        except TimeoutError:
            told = "not promoted for long"
        finally:
            self._promoting -= 1
        return told

    async def _through_the_gate(
        self, reached: SimulatedReached, record: GenerationRecord, *, force: bool
    ) -> str:
        """Once; now and then a row becomes wrong before the comparison."""
        world, sides = self._world, reached.sides
        record = await rebuild.caught_up(sides, generation=record.id, tell=_nobody)
        alone = self._promoting == 1  # or another's comparison is over
        if alone and not force and world.random.random() < 0.7:
            self._spoil(record)
        settled = Settled(world, record)
        verdict = await rebuild.judged(sides, record)
        if not verdict.open and not force:
            return "refused"
        await rebuild.promote(sides, verdict, who=WHO, tell=_nobody)
        if not verdict.open:
            return "forced"
        planted = ["a row that was made wrong"] if self._is_planted(record) else []
        wrong = [*planted, *settled.wrong()]
        if wrong:
            raise WrongError("gate", wrong)
        world.partial.discard(record.id)
        return "promoted"

    async def _roll_back(self, reached: SimulatedReached) -> str:
        try:
            async with asyncio.timeout(PROMOTION_SECONDS):
                await rebuild.roll_back(reached.sides, who=WHO)
        except TimeoutError:
            return "not rolled back for long"
        return "rolled back"

    async def _abort(self, reached: SimulatedReached) -> str:
        await rebuild.abort(reached.sides, who=WHO)
        return "aborted"

    async def _retire(self, reached: SimulatedReached) -> str:
        live = live_of(await reached.records())
        async with reached.account_of(live) as opened:
            copy = Copy(
                settings=reached.settings,
                clock=reached.clock,
                opened=opened,
                connections=await reached.sessions_of(live),
                generation=generation_of(live),
            )
            done = await Work(copy=copy, settings=reached.settings).retire()
        return "retired" if done["retired"] else "kept house"

    async def _bridge(self, reached: SimulatedReached) -> str:
        live = live_of(await reached.records())
        found = await bridge(await reached.sessions_of(live), generation_of(live))
        return "nothing to bridge" if found is None else "bridged"

    def _is_planted(self, record: GenerationRecord) -> bool:
        if record.id not in self._world.planted:
            return False
        return bool(self._sql(IS_PLANTED.format(rows=generation_of(record).rows))[0][0])

    def _sql(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._world.url, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), values or None)
            return [] if cursor.description is None else cursor.fetchall()


async def mended(world: World) -> None:
    """Repair what somebody has spoiled, as `projector verify --generation N --repair` does."""
    for record in await world.fed():
        if record.id in world.planted:
            await _mend(world, record)
    world.planted.clear()


async def _mend(world: World, record: GenerationRecord) -> None:
    operator = await operator_of(world, record, f"mend-{record.id}")
    await operator.verify(repair=True)
    world.planted.discard(record.id)


def _nobody(_: object) -> None:
    """Nobody watches."""
