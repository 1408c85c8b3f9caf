"""The start of a host: every precondition, in the order in which a mistake does the least harm.

First the target, before anything is made in it; then its schema; then the source; then whether both
belong together. A server that is down is waited for; a mistake ends the start with one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from projector import __version__
from projector.core.errors import RebuildError, SourceRecreated
from projector.operations.checks import Check, Finding, require
from projector.operations.definition_changes import differs, told_difference
from projector.operations.generations import live_of
from projector.operations.plausibility import FIRST_DOCUMENTS, Plausibility
from projector.operations.source_checks import COPY, SourceChecks, same_source
from projector.ports.feed import Clock
from projector.ports.generations import FillSource, GenerationState
from projector.ports.timeline import Kind
from projector.postgres import generations, retiring, schema, switching
from projector.postgres.diagnosis import first_documents
from projector.postgres.recording import Recording
from projector.postgres.source import adopt_source
from projector.postgres.timeline import record
from projector.projection.definition import Definition
from projector.settings import Settings
from projector.telemetry.logs import Event
from projector.wiring import database
from projector.wiring.commands import target_checks
from projector.wiring.housekeeping import recording_options
from projector.wiring.opening import Account, Target, source_identity, source_questions, target
from projector.wiring.presence import person
from projector.wiring.servers import Servers

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def upgraded(settings: Settings, *, clock: Clock) -> str:
    """Brings the schema up to date as a start does, preconditions and all; tells its version.

    Raises:
        ProjectorError: Only a person can mend it.
    """
    async with target(settings, create=True) as reached:
        start = Start(settings=settings, clock=clock, servers=Servers(clock=clock), actor=person())
        await start.target(reached, migrate=True)
        return schema.head()


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Asks for what a host relies on."""

    settings: Settings
    clock: Clock
    servers: Servers
    actor: str = ""

    async def target(self, reached: Target, *, migrate: bool) -> None:
        """The database, its schema included; brings that up to date with `migrate`.

        Raises:
            ProjectorError: Only a person can mend it.
        """
        checks = partial(target_checks, self.settings, self.clock, reached)
        before = checks()
        await self._require_target(before.before_schema())
        if migrate:
            role = self.settings.reader_role
            newest = await database.upgrade(reached.url, self.servers, reader_role=role)
            await self._tell_upgrade(reached, before.revision, newest)
        else:
            await database.check(reached.url, self.servers)
        await self._require_target(checks().with_schema())
        recording = Recording(reached.connections, recording_options(self.settings))
        await self.servers.waiting_for_target(recording.configure)
        await self._definition(reached)

    async def _tell_upgrade(self, reached: Target, before: str | None, after: str) -> None:
        """Once, whichever of the hosts that start together did it."""
        if before == after:
            return
        told = {"from": before or "nothing", "version": __version__}
        once = f"schema {before} {after}"
        kind, actor = Kind.SCHEMA_UPGRADED, self.actor or self.settings.instance_name
        await record(reached.connections, kind, after, told, actor, once=once)

    async def _definition(self, reached: Target) -> None:
        """A changed definition is brought by a rebuild; until then the live generation stays as it is.

        Where nothing was ever copied there is nothing to rebuild: the program begins with its own.
        """
        waiting = self.servers.waiting_for_target
        live = live_of(await waiting(partial(generations.records, reached.connections)))
        mine = self.settings.projection.definition
        if not differs(live, mine):
            return
        if await waiting(reached.copied) is None:
            with suppress(RebuildError):  # another host is about to do the same
                await waiting(partial(self._begin_with, reached, mine))
                return
        log.warning(Event.DEFINITION_DIFFERS, note=told_difference(live, mine))

    async def _begin_with(self, reached: Target, mine: Definition) -> None:
        """Goes on where a start was cut off, and leaves alone what another host has done meanwhile."""
        found = await generations.records(reached.connections)
        if not differs(live_of(found), mine):
            return
        begun = (
            one.id
            for one in found
            if one.state is GenerationState.FOLLOWING and one.definition == mine
        )
        number = next(begun, None)
        host = self.settings.instance_name
        if number is None:
            made = await generations.create(
                reached.connections,
                mine,
                who=host,
                why="nothing was copied yet",
                source=FillSource.FEED,
                processor_name=self.settings.processor_name,
                state=GenerationState.FOLLOWING,
            )
            number = made.record.id
        await switching.promote(reached.connections, number, keep_seconds=0.0, who=host)
        await retiring.retire(reached.connections)

    async def source(self, opened: Account, reached: Target) -> Plausibility:
        """The account, its containers, and that the target copies this one; what judges its documents.

        A container that was created again is left to the host, which shows it and keeps the rows.

        Raises:
            ProjectorError: Only a person can mend it.
        """
        checks = SourceChecks(
            ask=source_questions(self.settings, opened.gateway),
            definition=self.settings.projection.definition,
            start_from=self.settings.start_from,
            clock=self.clock,
            thorough=False,
        )
        await require(checks.listed(), self.servers.waiting_for_source)
        rid, identity = opened.container_rid, source_identity(self.settings, opened.name)

        async def look() -> list[Finding]:
            found = same_source(await reached.copied(), rid, identity)
            await adopt_source(reached.connections, rid, identity)
            return found

        with suppress(SourceRecreated):
            await self._require_target([Check(name=COPY, look=look)])
        return await self._plausible(opened, reached)

    async def _plausible(self, opened: Account, reached: Target) -> Plausibility:
        """The judge of documents, with what the copy holds already counted."""
        good, rejected = await self.servers.waiting_for_target(
            lambda: first_documents(reached.connections, limit=FIRST_DOCUMENTS)
        )
        return Plausibility(
            source=opened.name,
            limit=self.settings.max_rejected_share,
            good=good,
            rejected=rejected,
        )

    async def _require_target(self, checks: Sequence[Check]) -> None:
        await require(checks, self.servers.waiting_for_target)
