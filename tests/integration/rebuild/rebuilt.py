"""A copy that is rebuilt in this process: what the commands do, without the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from projector.operations import rebuild
from projector.operations.rebuild import Sides, Verdict, Wish
from projector.operations.rebuild_progress import Progress
from projector.ports.generations import FillSource, GenerationRecord
from projector.processor.clock import SystemClock
from projector.wiring import commands, rebuilds
from tests.integration.verify.support import Pair

ANN = "ann@desk"


@dataclass(kw_only=True)
class Rebuilt:
    """A pair, and the rebuilds of its copy."""

    pair: Pair
    told: list[Progress] = field(default_factory=list)

    @asynccontextmanager
    async def sides(self) -> AsyncIterator[Sides]:
        """What a command has in its hands."""
        async with rebuilds.opened(self.pair.settings, clock=SystemClock()) as opened:
            yield opened.sides

    async def records(self) -> Sequence[GenerationRecord]:
        async with self.sides() as sides:
            return await sides.records()

    async def start(self, *, why: str | None = None) -> GenerationRecord:
        """Make a generation; whoever hosts fills it."""
        wish = Wish(
            definition=self.pair.settings.projection.definition,
            who=ANN,
            why=why,
            source=FillSource.FEED,
        )
        async with self.sides() as sides:
            return await rebuild.start(sides, wish)

    async def filled(self, generation: int) -> GenerationRecord:
        """Wait until it is filled and follows closely."""
        async with self.sides() as sides:
            return await rebuild.caught_up(sides, generation=generation, tell=self.told.append)

    async def judged(self, record: GenerationRecord) -> Verdict:
        """What the gate says."""
        async with self.sides() as sides:
            return await rebuild.judged(sides, record)

    async def repair(self, generation: int) -> None:
        """What `projector verify --generation N --repair` does."""
        await commands.verify(
            self.pair.settings,
            clock=SystemClock(),
            repair=True,
            on_progress=lambda progress: None,
            generation=generation,
        )

    async def promote(self, verdict: Verdict) -> None:
        async with self.sides() as sides:
            await rebuild.promote(sides, verdict, who=ANN, tell=self.told.append)

    async def whole(self) -> GenerationRecord:
        """Start, fill, compare, promote; a host has to run."""
        made = await self.start()
        verdict = await self.judged(await self.filled(made.id))
        assert verdict.open, verdict.against
        await self.promote(verdict)
        return (await self.records())[0]

    async def value(self, statement: str, *parameters: object) -> Any:
        return await self.pair.value(statement, *parameters)
