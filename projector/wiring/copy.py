"""The container and its copy, reached, and what can be done with both: verify, retry, explain."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from projector import __version__
from projector.operations.explain import ExplainedKey, explain
from projector.operations.generations import numbered
from projector.operations.quarantine import ENTRIES_AT_ONCE, Quarantine, in_steps
from projector.operations.source_checks import refuse_others
from projector.ports.copy import VERIFICATION
from projector.ports.feed import Clock
from projector.ports.generations import GenerationRecord
from projector.ports.quarantine import QuarantineEntry
from projector.ports.timeline import Kind
from projector.postgres import generations
from projector.postgres import quarantine as entries
from projector.postgres.connections import Connections
from projector.postgres.explain import stored_key
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.housekeeping import record_run
from projector.postgres.timeline import record
from projector.postgres.verification import Verification
from projector.projection.project import Projection
from projector.reconcile.answers import Judge
from projector.reconcile.parts import Waiting
from projector.reconcile.reads import PatientReader, Reads
from projector.reconcile.repair import Repair, Retried, Retry, RetryOutcome
from projector.reconcile.report import Progress, VerifyReport
from projector.reconcile.verify import Verifier, VerifyOptions
from projector.settings import Settings
from projector.wiring import database
from projector.wiring.opening import (
    Account,
    Target,
    account,
    connections_to,
    source_identity,
    target,
)
from projector.wiring.presence import person
from projector.wiring.spending import spending


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The container and one generation of its copy, both reached, and who works on them.

    Attributes:
        connections: their sessions work for `generation`.
        waiting: None suits the settings.
        on_removed: is told how many rows a repair or a retry removed.
    """

    settings: Settings
    clock: Clock
    opened: Account
    connections: Connections
    waiting: Waiting | None = None
    actor: str = ""
    on_removed: Callable[[int], object] = lambda rows: None
    generation: Generation = FIRST_GENERATION

    @property
    def projection(self) -> Projection:
        """What documents turn into there: a generation stays as it was built."""
        return Projection(self.generation.definition, selection=self.settings.projection.selection)

    async def verify(
        self,
        *,
        repair: bool,
        on_progress: Callable[[Progress], object] = lambda progress: None,
        parts_at_once: int = 2,
    ) -> VerifyReport:
        """Compare both; see `Verifier`."""
        verifier = Verifier(
            source=self.opened.source,
            scanner=self.opened.scanner,
            reader=self.opened.points,
            projection=self.projection,
            store=self._store(),
            clock=self.clock,
            draw=random.random,
            options=VerifyOptions(
                page_size=self.settings.page_size,
                parts_at_once=parts_at_once,
                waiting=self.waiting or Waiting.suiting(self.settings.poll_max_seconds),
            ),
            on_progress=on_progress,
        )
        report = await verifier.verify(repair=repair)
        await self._tell(report)
        return report

    async def _tell(self, report: VerifyReport) -> None:
        """The timeline learns of drift."""
        found = report.drift()
        if any(found.values()):
            await record(self.connections, Kind.DRIFT_FOUND, "", found, self.actor)
        if report.repaired:
            told = {"repaired": report.repaired, "left": report.drift_left}
            await record(self.connections, Kind.DRIFT_REPAIRED, "", told, self.actor)

    async def remember(self, report: VerifyReport) -> None:
        """Keep the outcome where that of a scheduled verification is kept."""
        await record_run(self.connections, VERIFICATION, self.outcome(report))

    def outcome(self, report: VerifyReport) -> Mapping[str, Any]:
        """What is worth keeping of a verification: what it found, and of which generation."""
        return {**report.counts(), "generation": self.generation.id}

    async def explain(self, key: str) -> ExplainedKey:
        """What both sides have of one key, and why."""
        text = json.dumps(key, ensure_ascii=False)
        # The tables first: what they lack then may have been read since, never the reverse.
        stored = await stored_key(
            self.connections,
            container_rid=self.opened.container_rid,
            key=key,
            partition_key_json=text,
            generation=self.generation,
        )
        pages = await self.opened.carts.read(text)
        told = explain(pages, stored, self.projection)
        return ExplainedKey(stored=stored, documents=told)

    async def retry_entry(self, entry_id: int) -> Retried:
        """Ask for the document of one quarantine entry again.

        Raises:
            ConfigurationError: There is no such entry, or it is closed.
        """
        entry = await quarantine(self.connections).to_retry(entry_id)
        return (await self._retry([entry]))[0]

    async def retry_all(self) -> Sequence[Retried]:
        """Ask for the documents of all open entries again, some at a time."""
        each = in_steps(
            lambda after: entries.list_entries(self.connections, after=after, limit=ENTRIES_AT_ONCE)
        )
        return [one async for some in each for one in await self._retry(some)]

    async def retry_due(self) -> Counter[RetryOutcome]:
        """The same for those that may have changed without a word in the feed; counts outcomes alone.

        A host does it beside its work, and there may be a million of them.
        """
        counts: Counter[RetryOutcome] = Counter()
        async for some in in_steps(
            lambda after: entries.due_entries(
                self.connections, rules=self._rules, after=after, limit=ENTRIES_AT_ONCE
            )
        ):
            counts.update(one.outcome for one in await self._retry(some))
        return counts

    @property
    def _rules(self) -> str:
        """What decides whether a document is good, as far as this program has a say."""
        return f"{__version__}: {self.projection.text}"

    async def _retry(self, some: Sequence[QuarantineEntry]) -> Sequence[Retried]:
        reads = Reads(clock=self.clock, draw=random.random)
        reader = PatientReader(self.opened.points, reads)
        judge = Judge(reader=reader, projection=self.projection)
        store = self._store()
        retry = Retry(store=store, repair=Repair(store=store, judge=judge))
        done = await retry.run([(one.id, one.partition_key, one.document_id) for one in some])
        asked = [one.entry_id for one in done if one.outcome is not RetryOutcome.UNDECIDED]
        await entries.note_asked(self.connections, asked, rules=self._rules)
        return done

    def _store(self) -> Verification:
        return Verification(
            self.connections,
            container_rid=self.opened.container_rid,
            generation=self.generation,
            on_removed=self.on_removed,
        )


def quarantine(connections: Connections) -> Quarantine:
    """The quarantine of that target."""
    return Quarantine(
        show_entry=partial(entries.show_entry, connections),
        discard_entry=partial(entries.discard_entry, connections, actor=person()),
        reopen_entry=partial(entries.reopen_entry, connections, actor=person()),
    )


@asynccontextmanager
async def both_sides(
    settings: Settings, *, clock: Clock, generation: int | None = None
) -> AsyncIterator[Copy]:
    """Reaches container and copy for a command: the live generation, or that one. Nothing is waited for.

    Raises:
        SchemaMismatch: There is no schema yet, or another one.
        SourceRecreated, OtherSource, ProjectionChanged: It is not what is copied.
        RebuildError: There is no such generation.
    """
    async with target(settings) as reached:
        await database.require_schema(reached.url)
        record = numbered(await generations.records(reached.connections), generation)
        async with copy_of(settings, record, reached, clock=clock) as both:
            yield both


@asynccontextmanager
async def copy_of(
    settings: Settings, record: GenerationRecord, reached: Target, *, clock: Clock
) -> AsyncIterator[Copy]:
    """The container, with the leases of that generation, and that generation of its copy.

    Raises:
        SourceRecreated, OtherSource, ProjectionChanged: It is not what is copied.
    """
    named = record.processor_name or None
    async with (
        connections_to(settings, reached.url, control=record.control) as connections,
        spending(settings, reached.connections, clock=clock) as spent,
        account(
            settings,
            clock=clock,
            processor_name=named,
            meter=spent.meter,
            allowance=spent.allowance,
        ) as opened,
    ):
        identity = source_identity(settings, opened.name)
        refuse_others(await reached.copied(), opened.container_rid, identity)
        yield Copy(
            settings=settings,
            clock=clock,
            opened=opened,
            connections=connections,
            actor=person(),
            generation=generations.generation_of(record),
        )
