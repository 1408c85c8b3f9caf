"""Each command of a person, joined: its operation, and the sides that it needs, opened for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial

from projector.core.errors import ProjectorError, SinkUnavailable
from projector.core.lease import Lease
from projector.core.ranges import FeedRange
from projector.cosmos.client import CosmosGateway
from projector.operations import leases, status
from projector.operations.checks import Check, Finding, examine, fine, refusal, skipped
from projector.operations.explain import ExplainedKey
from projector.operations.leases import Consent, Done, Reset, ResetSides
from projector.operations.quarantine import ENTRIES_AT_ONCE, Quarantine, in_steps
from projector.operations.source_checks import COPY, SourceChecks, same_source
from projector.operations.status import Status
from projector.operations.target_checks import SERVER, TABLES, TargetChecks
from projector.ports.copy import CopyFacts
from projector.ports.feed import Clock
from projector.ports.quarantine import EntryStatus, QuarantineEntry
from projector.ports.timeline import Kind, TimelineEntry
from projector.postgres import generations
from projector.postgres.copy_facts import copy_facts
from projector.postgres.embedded import exists_in
from projector.postgres.generation import Generation
from projector.postgres.generations import note_verified
from projector.postgres.inheritance import of_generation
from projector.postgres.quarantine import list_entries
from projector.postgres.resets import accept_new_source, accept_projection, request_replay
from projector.postgres.timeline import latest_entries, record
from projector.reconcile.repair import Retried
from projector.reconcile.report import Progress, VerifyReport
from projector.settings import Settings
from projector.wiring import copy, database
from projector.wiring.bookmarks import fitting_target, live_leases, live_target, sides_of
from projector.wiring.copy import both_sides
from projector.wiring.generations import Live
from projector.wiring.opening import (
    Target,
    account,
    cosmos_account,
    limits,
    source_identity,
    source_name,
    source_questions,
    target,
    target_questions,
)
from projector.wiring.presence import person
from projector.wiring.spending import foreseen


@asynccontextmanager
async def looking(
    settings: Settings, *, clock: Clock
) -> AsyncIterator[Callable[[], Awaitable[Status]]]:
    """Looks at all ranges, as often as it is asked; a schema that does not fit is an error.

    A server that is down leaves its part of the picture unknown.
    """
    async with target(settings) as reached, Live(settings, reached) as live:
        with suppress(SinkUnavailable):
            await database.require_schema(reached.url)

        async def ask(counted: CopyFacts | None) -> CopyFacts:
            return await copy_facts((await live.now()).connections, counted)

        yield partial(
            status.look,
            partial(live.account, clock=clock),
            ask,
            limits=limits(settings),
            clock=clock,
        )


async def look(settings: Settings, *, clock: Clock) -> Status:
    """Looks once; see `looking`."""
    async with looking(settings, clock=clock) as once:
        return await once()


async def doctor(settings: Settings, *, clock: Clock) -> list[Finding]:
    """Makes every check of a host's start without starting one, in the order of a start.

    A server that is not there, or an embedded one that nobody has made yet, is said to be so and is
    not made.
    """
    try:
        reached = cosmos_account(settings)
    except ProjectorError as error:
        return [refusal("endpoint", error), *await _target_findings(settings, clock, None)]
    async with CosmosGateway(reached) as gateway:
        checks = SourceChecks(
            ask=source_questions(settings, gateway),
            definition=settings.projection.definition,
            start_from=settings.start_from,
            clock=clock,
            thorough=True,
        )
        found = await examine(checks.listed())
        return [*found, *await _target_findings(settings, clock, gateway)]


async def _target_findings(
    settings: Settings, clock: Clock, gateway: CosmosGateway | None
) -> list[Finding]:
    folder = database.embedded_folder(settings)
    if folder is not None and not exists_in(folder):
        return [
            fine(SERVER, f"embedded, none in {folder} yet; projector run makes it"),
            skipped("schema", "there is no server to ask"),
        ]
    try:
        async with target(settings) as reached:
            checks = target_checks(settings, clock, reached)
            listed = [*checks.before_schema(), *checks.with_schema()]
            if gateway is not None and await database.fits(reached.url):
                listed.append(_copy_check(settings, gateway, reached))
            return await examine(listed)
    except ProjectorError as error:
        return [refusal(SERVER, error)]


def target_checks(settings: Settings, clock: Clock, reached: Target) -> TargetChecks:
    """The checks of that target."""
    return TargetChecks(
        ask=target_questions(settings, reached),
        clock=clock,
        reader_role=settings.reader_role,
        processor_name=settings.processor_name,
    )


def _copy_check(settings: Settings, gateway: CosmosGateway, reached: Target) -> Check:
    asked = source_questions(settings, gateway)
    meant = source_identity(settings, source_name(settings, gateway.account))

    async def look() -> list[Finding]:
        facts = await asked.ask_container()
        return same_source(await reached.copied(), facts.rid, meant)

    return Check(name=COPY, look=look, needs=(SERVER, TABLES))


async def list_leases(settings: Settings, *, clock: Clock) -> Sequence[Lease]:
    """The leases of the live generation as they are stored."""
    named = await live_leases(settings)
    async with account(settings, clock=clock, processor_name=named) as opened:
        return await opened.leases.list_leases()


async def release_leases(settings: Settings, token: str | None, *, clock: Clock) -> Sequence[Done]:
    """Takes the owner out of all leases of the live generation, or out of that one."""
    named = await live_leases(settings)
    async with account(settings, clock=clock, processor_name=named) as opened:
        found = leases.chosen(await opened.leases.list_leases(), token)
        done = await leases.release(opened.leases, found, now=clock.now())
    with suppress(ProjectorError):  # leases are released without a target, too
        await _tell_released(settings, done, of_generation(named or ""))
    return done


async def _tell_released(
    settings: Settings, done: Sequence[Done], whose: Mapping[str, int]
) -> None:
    async with fitting_target(settings) as reached:
        for one in done:
            if one.changed:
                told = {"from": one.lease.owner, **whose}
                kind = Kind.LEASE_RELEASED
                await record(reached.connections, kind, one.lease.token, told, person())


@asynccontextmanager
async def prepared_reset(
    settings: Settings, *, clock: Clock, token: str | None, consent: Consent
) -> AsyncIterator[Reset]:
    """A reset that may still be called off; see `operations.leases.prepared`.

    Raises:
        SchemaMismatch: There is no schema yet, so there is nothing to reset.
    """
    async with (
        live_target(settings) as (reached, named),
        account(settings, clock=clock, processor_name=named) as opened,
    ):
        connections, rid = reached.connections, opened.container_rid
        meant = source_identity(settings, opened.name)
        both = await sides_of(settings, opened, reached, clock=clock)

        async def ask(keys: Sequence[FeedRange] | None, keep_as: str) -> None:
            kept = keep_as, both.target
            await request_replay(connections, rid, keys, actor=person(), keep_as=kept)

        sides = ResetSides(
            both=both,
            accept_new_source=partial(accept_new_source, connections, rid, meant, actor=person()),
            accept_projection=partial(accept_projection, connections, rid, meant, actor=person()),
            request_replay=ask,
            foresee=partial(foreseen, settings, opened, connections),
        )
        yield await leases.prepared(sides, token=token, consent=consent)


async def verify(
    settings: Settings,
    *,
    clock: Clock,
    repair: bool,
    on_progress: Callable[[Progress], object],
    generation: int | None = None,
) -> VerifyReport:
    """Compares both sides, and keeps the outcome: of the live generation as a scheduled one does it."""
    async with both_sides(settings, clock=clock, generation=generation) as both:
        report = await both.verify(repair=repair, on_progress=on_progress)
        with suppress(ProjectorError):  # a role that may only read cannot leave a note
            if generation is None:
                await both.remember(report)
            else:
                await note_verified(both.connections, generation, report.counts())
        return report


async def explain(settings: Settings, key: str, *, clock: Clock) -> ExplainedKey:
    """What both sides have of one cart, and why."""
    async with both_sides(settings, clock=clock) as both:
        return await both.explain(key)


@asynccontextmanager
async def quarantine(settings: Settings) -> AsyncIterator[Quarantine]:
    """The quarantine, for what can be done without the container."""
    async with live_target(settings) as (reached, _):
        yield copy.quarantine(reached.connections)


async def quarantined(
    settings: Settings,
    *,
    statuses: frozenset[EntryStatus],
    reason: str | None,
    key: str | None,
) -> list[QuarantineEntry]:
    """All entries of these statuses, of that reason and that cart where one is named."""
    async with live_target(settings) as (reached, _):
        each = in_steps(
            lambda after: list_entries(
                reached.connections,
                statuses=statuses,
                reason=reason,
                key=key,
                after=after,
                limit=ENTRIES_AT_ONCE,
            )
        )
        return [one async for some in each for one in some]


async def timeline(
    settings: Settings, *, since: datetime | timedelta | None, limit: int
) -> Sequence[TimelineEntry]:
    """The newest entries, newest first."""
    async with fitting_target(settings) as reached:
        return await latest_entries(reached.connections, since=since, limit=limit)


async def live_generation(settings: Settings) -> Generation:
    """What the views read, as it was built."""
    async with fitting_target(settings) as reached, reached.connections.session() as session:
        return (await generations.live(session)).generation


async def retry(settings: Settings, entry_id: int | None, *, clock: Clock) -> Sequence[Retried]:
    """Asks for the documents of all open entries again, or for that of one."""
    async with both_sides(settings, clock=clock) as both:
        return await both.retry_all() if entry_id is None else [await both.retry_entry(entry_id)]
