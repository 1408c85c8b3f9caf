from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

from projector.core.errors import SinkUnavailable
from projector.core.names import InstanceName
from projector.operations.console import ASK_EVERY_SECONDS, NO_ANSWER, PATIENCE_SECONDS, Console
from projector.operations.fleet import FleetWatch
from projector.ports.console import StoredSide
from projector.ports.quarantine import QuarantinedDocument
from projector.telemetry.fleet import FleetFigures
from tests.fakes.clock import START, FakeClock
from tests.unit.web.pages import board, entry

FIGURES = FleetFigures(
    diagnosis=board().diagnosis, look_age_seconds=0.0, known_seconds=0.0, now=START, quarantined=9
)
STORED = StoredSide(read_at=START, entries=[entry()])


class Fleet:
    def __init__(self, figures: FleetFigures = FIGURES) -> None:
        self.told = figures

    def figures(self) -> FleetFigures:
        return self.told

    def watched(self) -> None: ...


async def nothing(_: int) -> QuarantinedDocument | None:
    return None


@asynccontextmanager
async def opened(
    ask: Callable[[], Awaitable[StoredSide]], fleet: Any = None
) -> AsyncIterator[tuple[Console, FakeClock]]:
    clock = FakeClock()
    console = Console(
        fleet=cast("FleetWatch", fleet or Fleet()),
        ask=ask,
        show=nothing,
        clock=clock,
        instance=InstanceName("host-a"),
        version="1",
        copied="a in b",
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(console.run())
        yield console, clock
        task.cancel()


async def test_however_many_look_postgresql_is_asked_once_a_second() -> None:
    asked = 0

    async def ask() -> StoredSide:
        nonlocal asked
        asked += 1
        return STORED

    async with opened(ask) as (console, clock):
        boards = await asyncio.gather(*(console.board() for _ in range(20)))
        assert asked == 1
        assert {one.quarantined for one in boards} == {1}, "all entries are known"
        await clock.sleep(ASK_EVERY_SECONDS)
        await console.board()
        assert asked == 2


async def test_a_page_does_not_wait_for_a_server_that_is_silent() -> None:
    silent = False

    async def ask() -> StoredSide:
        if silent:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(10)  # as a cancelled query asks the silent server to cancel it
        return STORED

    async with opened(ask) as (console, clock):
        assert (await console.board()).silent is None
        silent = True
        for _ in range(3):
            await clock.sleep(ASK_EVERY_SECONDS)
            began = clock.monotonic()
            shown = await console.board()
            assert clock.monotonic() - began <= PATIENCE_SECONDS
            assert shown.silent == NO_ANSWER
            assert shown.stored == STORED, "what it told before stands, with its age"
            assert shown.quarantined == 9


async def test_what_fails_is_told_and_asked_again() -> None:
    error: Exception | None = SinkUnavailable("PostgreSQL is down")

    async def ask() -> StoredSide:
        if error is not None:
            raise error
        return STORED

    async with opened(ask) as (console, clock):
        assert (await console.board()).silent == "PostgreSQL is down"
        error = None
        await clock.sleep(ASK_EVERY_SECONDS)
        assert (await console.board()).silent is None


async def test_nobody_is_asked_before_the_schema_is_known_to_be_there() -> None:
    async def ask() -> StoredSide:
        raise AssertionError("asked")

    async with opened(ask, Fleet(replace(FIGURES, now=None))) as (console, _):
        shown = await console.board()
        assert shown.silent is None
        assert shown.stored is None
