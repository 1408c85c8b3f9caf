"""Rebuilds, joined: the registry of generations, both sides of each, and hands where no host works.

Everything is opened for one command and closed with it. A generation is reached over sessions of its own,
since its positions and its quarantine are its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from projector.core.errors import FeedError, LeaseError, SinkUnavailable
from projector.core.lease import Lease
from projector.core.states import RangeState
from projector.operations import status
from projector.operations.bookmarks import parts_from
from projector.operations.forecast import Forecast
from projector.operations.generations import live_of
from projector.operations.rebuild import Compared, OnCompared, Promotion, Sides, Wish
from projector.operations.rebuild_progress import Look
from projector.ports.copy import VERIFICATION, StoredReport
from projector.ports.feed import Clock
from projector.ports.filling import Filled
from projector.ports.generations import FillPart, FillSource, GenerationRecord, GenerationState
from projector.postgres import generations, pointing, retiring, switching
from projector.postgres.connections import Connections
from projector.postgres.copy_facts import copy_facts
from projector.postgres.fill_parts import parts
from projector.postgres.housekeeping import record_run
from projector.projection.definition import Definition
from projector.settings import Settings
from projector.wiring import database
from projector.wiring.copy import copy_of
from projector.wiring.filling import filler
from projector.wiring.opening import (
    Account,
    Target,
    account,
    connections_to,
    limits,
    target,
)
from projector.wiring.spending import foreseen, spending

ALIVE = timedelta(seconds=status.FRESH_SECONDS)
LOOK_FOR_HOSTS_SECONDS = 5.0
COUNT_SECONDS = 30.0
"""How often the service is asked how many documents there are."""


@dataclass(slots=True, kw_only=True)
class _Reached:
    """The target, and each generation of it, as long as the command runs."""

    settings: Settings
    clock: Clock
    target: Target
    stack: AsyncExitStack
    controls: dict[str, Connections] = field(default_factory=dict)
    counted: tuple[float, int | None] | None = None

    @property
    def sides(self) -> Sides:
        """What decides, with all of this in its hands."""
        return Sides(
            clock=self.clock,
            lag_seconds=self.settings.rebuild_lag_seconds,
            records=self.records,
            would_break=self.would_break,
            create=self.create,
            look=self.look,
            compare=self.compare,
            note_verified=self.note_verified,
            promote=self.promote,
            roll_back=self.roll_back,
            abort=self.abort,
        )

    @property
    def connections(self) -> Connections:
        """Those that look at what all generations share."""
        return self.target.connections

    async def records(self) -> Sequence[GenerationRecord]:
        """All generations, newest first."""
        return await generations.records(self.connections)

    async def sessions_of(self, record: GenerationRecord) -> Connections:
        """Connections whose sessions work for that generation."""
        found = self.controls.get(record.control)
        if found is None:
            opening = connections_to(self.settings, self.target.url, control=record.control)
            found = await self.stack.enter_async_context(opening)
            self.controls[record.control] = found
        return found

    @asynccontextmanager
    async def account_of(self, record: GenerationRecord) -> AsyncIterator[Account]:
        """The account with that generation's leases."""
        name = record.processor_name or self.settings.processor_name
        async with (
            spending(self.settings, self.connections, clock=self.clock) as spent,
            account(
                self.settings,
                clock=self.clock,
                processor_name=name,
                meter=spent.meter,
                allowance=spent.allowance,
            ) as opened,
        ):
            yield opened

    async def would_break(self, definition: Definition) -> Sequence[str]:
        """What of others' a definition could not be brought under."""
        return await pointing.would_break(self.connections, definition)

    async def create(self, wish: Wish) -> GenerationRecord:
        """Make a generation, empty."""
        parts: Sequence[Lease] = ()
        if wish.begins is not None:
            async with self.account_of(live_of(await self.records())) as opened:
                parts = await parts_from(wish.begins, opened.container_rid, opened.source)
        registered = await generations.create(
            self.connections,
            wish.definition,
            who=wish.who,
            why=wish.why,
            source=wish.source,
            processor_name=self.settings.processor_name,
            parts=parts,
        )
        return registered.record

    async def look(self, record: GenerationRecord) -> Look:
        """One look; an account that does not answer leaves its part unknown."""
        try:
            async with self.account_of(record) as opened:
                return await self._looked(record, opened)
        except (FeedError, LeaseError) as error:
            return Look(record=record, parts=await self._parts(record), silent=[str(error)])

    async def _looked(self, record: GenerationRecord, opened: Account) -> Look:
        loading = await self._parts(record)
        expected = await self._expected(opened)
        if record.state is GenerationState.FILLING:
            return Look(record=record, parts=loading, expected=expected)
        found = await status.look(
            lambda: nullcontext(opened),
            partial(copy_facts, await self.sessions_of(record)),
            limits=limits(self.settings),
            clock=self.clock,
        )
        return Look(
            record=record,
            ranges=found.ranges,
            uncovered=found.uncovered,
            expected=expected,
            silent=found.silent,
        )

    async def _parts(self, record: GenerationRecord) -> Sequence[FillPart]:
        """Those of its first load, as long as that goes on."""
        if record.state is not GenerationState.FILLING:
            return ()
        return await parts(await self.sessions_of(record))

    async def fill(self, record: GenerationRecord) -> None:
        """This process's share of its first load; ends when it is filled, by whomever."""

        async def done(filled: Filled) -> None:
            async with (await self.sessions_of(record)).transaction() as session:
                await generations.mark_following(
                    session,
                    record.id,
                    documents=filled.documents,
                    request_units=filled.request_units,
                )

        async with self.account_of(record) as opened:
            share = filler(
                self.settings,
                opened,
                await self.sessions_of(record),
                generation=generations.generation_of(record),
                source=record.source,
                processor_name=record.processor_name,
                clock=self.clock,
                done=done,
            )
            await share.run()

    async def _expected(self, opened: Account) -> int | None:
        now = self.clock.monotonic()
        if self.counted is None or now - self.counted[0] > COUNT_SECONDS:
            self.counted = (now, await opened.scanner.count())
        return self.counted[1]

    async def compare(self, record: GenerationRecord, on_compared: OnCompared) -> Compared:
        """The container and that generation, document by document."""
        async with copy_of(self.settings, record, self.target, clock=self.clock) as both:
            report = await both.verify(repair=False, on_progress=on_compared)
        lines = report.told(record.definition.noun)
        counts = {**report.counts(), "examples": list(lines)}
        return Compared(consistent=report.consistent, counts=counts, lines=lines)

    async def note_verified(self, record: GenerationRecord, counts: Mapping[str, Any]) -> None:
        """Keep what a comparison found."""
        await generations.note_verified(self.connections, record.id, dict(counts))

    async def promote(self, record: GenerationRecord, promotion: Promotion) -> str:
        """Switch the views; see `Sides`. What was compared counts as a verification of what is live."""
        return await _not_now(self._promote(record, promotion))

    async def _promote(self, record: GenerationRecord, promotion: Promotion) -> None:
        if record.state is not GenerationState.LIVE:
            await switching.promote(
                self.connections,
                record.id,
                keep_seconds=self._keep_seconds,
                who=promotion.who,
                report=dict(promotion.counts),
                forced=promotion.forced,
            )
        if promotion.counts:
            result = {**promotion.counts, "generation": record.id}
            await record_run(self.connections, VERIFICATION, result)

    async def roll_back(self, record: GenerationRecord, who: str) -> str:
        """Switch the views back; see `Sides`."""
        return await _not_now(
            switching.rollback(
                self.connections, keep_seconds=self._keep_seconds, who=who, number=record.id
            )
        )

    async def abort(self, record: GenerationRecord, who: str) -> None:
        """Give a generation up, and drop it; what is in use is dropped by housekeeping."""
        await generations.abort(self.connections, record.id, who=who)
        with suppress(SinkUnavailable):
            await retiring.drop_ended(self.connections)

    async def foreseen(self) -> Forecast:
        """What reading the container once more will cost. Raises FeedError."""
        live = live_of(await self.records())
        async with self.account_of(live) as opened:
            return await foreseen(self.settings, opened, self.connections)

    async def anybody(self) -> bool:
        """Whether a host works on the live generation."""
        live = live_of(await self.records())
        facts = await copy_facts(await self.sessions_of(live))
        return any(_is_alive(one, facts.now) for one in facts.reports.values())

    @property
    def _keep_seconds(self) -> float:
        return self.settings.rebuild_keep_hours * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What the commands need of it: `sides` decide, `hands` work where nobody does."""

    sides: Sides
    source: FillSource
    reached: _Reached

    async def foreseen(self) -> Forecast:
        """What a rebuild will cost. Raises FeedError."""
        return await self.reached.foreseen()

    async def fill(self, record: GenerationRecord) -> None:
        """Work on its first load until it is filled, by whomever."""
        await self.reached.fill(record)

    @asynccontextmanager
    async def hands(self, tell: Callable[[str], object]) -> AsyncIterator[None]:
        """Does the work of a host as soon as none runs, until the body ends; ends it in good order."""
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            standing_in = group.create_task(self._stand_in(tell, over), name="rebuild:host")
            try:
                yield
            finally:
                over.set()
                await asyncio.wait([standing_in])

    async def _stand_in(self, tell: Callable[[str], object], over: asyncio.Event) -> None:
        while not over.is_set():
            if not await self._somebody_works():
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_FOR_HOSTS_SECONDS):
                    await over.wait()
        else:
            return
        tell("no host runs: this command does the work of one, for readers too, until it ends")
        settings = self.reached.settings.model_copy(update={"web_port": 0, "probe_port": 0})
        from projector.wiring.service import Service  # noqa: PLC0415 - no other command here needs a host

        service = Service(settings, clock=self.reached.clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(_stopped_after(over, service.request_stop), name="rebuild:stop")
            await service.run(migrate=False)
            over.set()

    async def _somebody_works(self) -> bool:
        """Whether a host runs; while PostgreSQL is down nobody can work, and nobody knows."""
        try:
            return await self.reached.anybody()
        except SinkUnavailable:
            return True


async def _stopped_after(over: asyncio.Event, stop: Callable[[], object]) -> None:
    await over.wait()
    stop()


async def _not_now(switch: Awaitable[object]) -> str:
    """For what the switch has to wait; "" when it is done."""
    try:
        await switch
    except SinkUnavailable as error:
        return str(error)
    return ""


def _is_alive(stored: StoredReport, now: datetime) -> bool:
    return stored.report.state is not RangeState.STOPPED and now - stored.reported_at <= ALIVE


@asynccontextmanager
async def opened(settings: Settings, *, clock: Clock) -> AsyncIterator[Opened]:
    """Reaches the target for a command; the container when it is asked for something.

    Raises:
        SchemaMismatch: There is no schema yet, or another one.
    """
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(target(settings))
        await database.require_schema(found.url)
        reached = _Reached(settings=settings, clock=clock, target=found, stack=stack)
        source = FillSource(settings.rebuild_source)
        yield Opened(sides=reached.sides, source=source, reached=reached)
