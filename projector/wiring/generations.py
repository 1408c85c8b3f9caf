"""Which generation of the copy is meant, reached: the live one, unless a number says otherwise.

Its sessions look at its own control tables, its leases bear its own name, and its documents are projected by
the definition that it was built from, under the filter of the settings.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self

from projector.core.errors import SinkUnavailable
from projector.operations.generations import live_of, numbered
from projector.ports.feed import Clock
from projector.ports.generations import GenerationRecord
from projector.postgres import generations as registry
from projector.postgres.connections import Connections
from projector.postgres.generation import FIRST_CONTROL, Generation
from projector.projection.project import Projection
from projector.settings import Settings
from projector.wiring.opening import Account, Target, account, connections_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """One generation, and connections whose sessions work for it."""

    record: GenerationRecord
    connections: Connections
    settings: Settings

    @property
    def generation(self) -> Generation:
        """Where its tables are."""
        return registry.generation_of(self.record)

    @property
    def projection(self) -> Projection:
        """What its documents turn into."""
        return projection_of(self.record, self.settings)

    @property
    def processor_name(self) -> str:
        """Whose leases it is fed by."""
        return processor_of(self.record, self.settings)


def projection_of(record: GenerationRecord, settings: Settings) -> Projection:
    """By the definition it was built from: a generation stays as it was made."""
    return Projection(record.definition, selection=settings.projection.selection)


def processor_of(record: GenerationRecord, settings: Settings) -> str:
    """Whose leases it is fed by."""
    return record.processor_name or settings.processor_name


@asynccontextmanager
async def connected(
    settings: Settings, reached: Target, record: GenerationRecord
) -> AsyncIterator[Reached]:
    """Connections for that generation; those that are there serve the first one."""
    if record.control == FIRST_CONTROL:
        yield Reached(record=record, connections=reached.connections, settings=settings)
        return
    async with connections_to(settings, reached.url, control=record.control) as connections:
        yield Reached(record=record, connections=connections, settings=settings)


@asynccontextmanager
async def meant(
    settings: Settings, reached: Target, number: int | None = None
) -> AsyncIterator[Reached]:
    """The live generation, or the one of that number, for a command; the schema has to fit.

    Raises:
        RebuildError: There is none.
        SinkUnavailable.
    """
    record = numbered(await registry.records(reached.connections), number)
    async with connected(settings, reached, record) as found:
        yield found


class Live:
    """The live generation for whoever goes on looking: after a promotion it is another one."""

    def __init__(self, settings: Settings, reached: Target) -> None:
        """Ask nothing before the first look."""
        self._settings = settings
        self._reached = reached
        self._stack = AsyncExitStack()
        self._found: Reached | None = None

    async def __aenter__(self) -> Self:
        """As a context manager it closes what it opened."""
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def now(self) -> Reached:
        """The one that the views read this moment. Raises SinkUnavailable."""
        record = live_of(await registry.records(self._reached.connections))
        found = self._found
        if found is None or found.record.id != record.id:
            await self._stack.aclose()
            self._found = found = await self._stack.enter_async_context(
                connected(self._settings, self._reached, record)
            )
        return found

    @asynccontextmanager
    async def account(self, *, clock: Clock) -> AsyncIterator[Account]:
        """The account with its leases; while PostgreSQL is down with those that were known last."""
        found = self._found
        with suppress(SinkUnavailable):
            found = await self.now()
        name = None if found is None else found.processor_name
        async with account(self._settings, clock=clock, processor_name=name) as opened:
            yield opened
