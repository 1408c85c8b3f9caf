"""One feeder for every generation that is fed, in one process: they come and go as the registry says.

What goes wrong with the live one ends the process, as it always did. What goes wrong with another one is
told and tried again: nobody reads it. A container that was created again ends all of them, so that all
begin anew on the new one. While PostgreSQL is down, everything goes on as it was.

A job feeds each one once, until it is caught up. What is live at its end is among them, also when it was
promoted, or even filled, meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import structlog

from projector.core.errors import ProjectorError, SourceRecreated, first_of
from projector.ports.generations import GenerationRecord, GenerationState
from projector.postgres import generations as registry
from projector.postgres.connections import Connections
from projector.postgres.generations import Registered
from projector.processor.refusals import Refusals
from projector.telemetry.logs import Event
from projector.wiring.feeding import Feeder, Surroundings

LOOK_SECONDS = 15.0
"""How often the registry is looked at where nobody is told of changes."""

SOON_SECONDS = 2.0
"""After an outage: another PostgreSQL may have taken over, at which other generations are fed."""

AGAIN_SECONDS = 15.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Feeders:
    """Runs once."""

    def __init__(
        self,
        around: Surroundings,
        desk: Callable[[Feeder], Coroutine[Any, Any, None]],
        *,
        make: Callable[[GenerationRecord, Surroundings], Feeder] = Feeder,
    ) -> None:
        """Begin nothing before `run`.

        Args:
            around: What they share.
            desk: What goes on beside the live one, for as long as it is.
            make: Makes the feeder of a generation.
        """
        self._around = around
        self._desk = desk
        self._make = make
        self._running: dict[int, tuple[Feeder, asyncio.Task[None]]] = {}
        self._at_desk: tuple[Feeder, asyncio.Task[None]] | None = None
        self._not_before: dict[int, float] = {}
        self._begun: set[int] = set()
        self._stopping = False
        self._ended = asyncio.Event()

    @property
    def live(self) -> Feeder | None:
        """The feeder of the live generation."""
        return next((one for one, _ in self._running.values() if one.live), None)

    def connections(self) -> Sequence[Connections]:
        """Those of generations that have some of their own."""
        return [one.reached.connections for one, _ in self._running.values() if one.reached]

    def request_stop(self) -> None:
        """Ask for the end: hosts drain; a first load is left to others, or for later."""
        self._stopping = True
        for feeder, task in self._running.values():
            if feeder.host is None:
                task.cancel()
            else:
                feeder.host.request_stop()
        if not self._running:
            self._ended.set()

    async def run(self) -> None:
        """Feed until asked to stop, or until the live one has ended; a job until all have that are there.

        Raises: what the live one raises; SourceRecreated of any.
        """
        try:
            await self._run()
        except BaseExceptionGroup as errors:
            # Nobody who waits for the error of a host expects it inside a group.
            root = first_of(errors)
            raise root from root.__cause__

    async def _run(self) -> None:
        fed = await self._around.servers.waiting_for_target(self._fed_unless_stopping)
        async with asyncio.TaskGroup() as group:
            await self._fit(group, fed)
            while self._running or not self._around.once:
                watching = group.create_task(self._watch(group, fed), name="host:generations")
                await self._ended.wait()
                watching.cancel()
                if self._stopping or not self._around.once:
                    break
                # What is live by now may have come after the last look.
                await asyncio.wait([watching])
                self._ended.clear()
                fed = await self._around.servers.waiting_for_target(self._fed_unless_stopping)
                if not self._stopping:  # then what runs drains
                    await self._fit(group, fed)
            self._leave_desk()

    async def _watch(self, group: asyncio.TaskGroup, seen: Sequence[Registered]) -> None:
        """Follow the registry."""
        refusals = Refusals("looking for generations")
        while True:
            try:
                with refusals.told():
                    await registry.wait_for_change(
                        self._around.target.connections, seen, seconds=LOOK_SECONDS
                    )
                    seen = await self._fed()
            except ProjectorError:
                await self._around.clock.sleep(SOON_SECONDS)
            else:
                await self._fit(group, seen)

    async def _fed_unless_stopping(self) -> Sequence[Registered]:
        return () if self._stopping else await self._fed()

    async def _fed(self) -> Sequence[Registered]:
        async with self._around.target.connections.session() as session:
            return await registry.fed(session)

    async def _fit(self, group: asyncio.TaskGroup, fed: Sequence[Registered]) -> None:
        """End what is fed no longer, begin what is not fed yet, and tell all what they are by now."""
        states = {one.record.id: one.record for one in fed}
        for number, (feeder, task) in list(self._running.items()):
            record = states.get(number)
            if record is not None and feeder.filling is _is_filling(record):
                await feeder.now(record)
                continue
            # Told before it ends: it may be the live one of before, or be live by now, and nobody was told in
            # between; its end is no reason for the process. After a failover one that was live may be filled again.
            gone = replace(feeder.record, state=GenerationState.RETIRED)
            await feeder.now(gone)
            state = (record or gone).state
            log.info(Event.GENERATION_ENDED, generation=number, state=state)
            task.cancel()
            await asyncio.wait([task])
        for record in states.values():
            if record.id not in self._running and self._may_begin(record):
                self._begin(group, record)
        self._turn_desk(group)

    def _begin(self, group: asyncio.TaskGroup, record: GenerationRecord) -> None:
        self._begun.add(record.id)
        feeder = self._make(record, self._around)
        task = group.create_task(self._feed(feeder), name=f"generation:{record.id}")
        self._running[record.id] = feeder, task
        # Not at the end of `_feed`: a task that is cancelled before its first step never gets there.
        task.add_done_callback(lambda _: self._gone(feeder))
        log.info(Event.GENERATION_FED, generation=record.id, state=record.state)

    def _may_begin(self, record: GenerationRecord) -> bool:
        begun = record.id in self._begun
        if self._stopping or (self._around.once and (begun or _is_filling(record))):
            return False
        return self._around.clock.monotonic() >= self._not_before.get(record.id, 0.0)

    async def _feed(self, feeder: Feeder) -> None:
        try:
            await feeder.run()
        except Exception as error:
            if feeder.live or self._around.once or _is_recreated(error):
                raise
            number = feeder.record.id
            self._not_before[number] = self._around.clock.monotonic() + AGAIN_SECONDS
            log.warning(Event.GENERATION_FAILED, generation=number, error=_told(first_of(error)))

    def _gone(self, feeder: Feeder) -> None:
        del self._running[feeder.record.id]
        if feeder.live and not self._around.once and not self._stopping:
            self.request_stop()  # it had a reason, which holds for the process
        if not self._running and (self._stopping or self._around.once):
            self._ended.set()

    def _turn_desk(self, group: asyncio.TaskGroup) -> None:
        live = self.live
        if live is None or (self._at_desk is not None and self._at_desk[0] is live):
            return
        if self._at_desk is not None:
            log.info(Event.GENERATION_LIVE, generation=live.record.id)
        self._leave_desk()
        task = group.create_task(self._desk(live), name=f"generation:{live.record.id}:desk")
        self._at_desk = live, task

    def _leave_desk(self) -> None:
        if self._at_desk is not None:
            self._at_desk[1].cancel()


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _is_filling(record: GenerationRecord) -> bool:
    return record.state is GenerationState.FILLING


def _is_recreated(error: BaseException) -> bool:
    return isinstance(first_of(error), SourceRecreated)
