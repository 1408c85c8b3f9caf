"""Verify, repair and retry, joined with a real container and a real target."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from projector import __version__
from projector.core.errors import ConfigurationError
from projector.ports.feed import Clock
from projector.postgres.connections import Connections
from projector.postgres.entries import (
    EntryStatus,
    QuarantineEntry,
    due_entries,
    list_entries,
    note_asked,
    show_entry,
)
from projector.postgres.housekeeping import record_run
from projector.postgres.verification import Verification
from projector.reconcile.repair import Repair
from projector.reconcile.retry import Retried, Retry, RetryOutcome
from projector.reconcile.selected import SelectedReader
from projector.reconcile.verify import Verifier, VerifyOptions
from projector.reconcile.verify_places import Waiting
from projector.reconcile.verify_reads import Patience, PatientReader
from projector.reconcile.verify_report import Progress, VerifyReport
from projector.settings import Settings
from projector.wiring.account import Account

VERIFICATION = "verify"
"""Name of the housekeeping job that compares container and copy."""

LEAST_STALL_SECONDS = 5.0
POLLS_OF_A_STALL = 3
ENTRIES_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The container and its copy, both reached; `waiting` None suits the settings."""

    settings: Settings
    clock: Clock
    opened: Account
    connections: Connections
    waiting: Waiting | None = None

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
            store=self._store(),
            clock=self.clock,
            draw=random.random,
            options=VerifyOptions(
                page_size=self.settings.page_size,
                parts_at_once=parts_at_once,
                waiting=self.waiting or Waiting(stall_seconds=stall_seconds(self.settings)),
                selection=self.settings.selection,
            ),
            on_progress=on_progress,
        )
        return await verifier.verify(repair=repair)

    async def remember(self, report: VerifyReport) -> None:
        """Keep the outcome where that of a scheduled verification is kept."""
        await record_run(self.connections, VERIFICATION, report.counts())

    async def retry_entry(self, entry_id: int) -> Retried:
        """Ask for the document of one quarantine entry again.

        Raises:
            ConfigurationError: There is no such entry.
        """
        found = await show_entry(self.connections, entry_id)
        if found is None:
            raise ConfigurationError(
                f"there is no quarantine entry {entry_id}; type: projector quarantine list"
            )
        if found.entry.status is EntryStatus.CLOSED:
            raise ConfigurationError(
                f"quarantine entry {entry_id} is closed already: its document is good or gone"
            )
        return (await self._retry([found.entry]))[0]

    async def retry_all(self) -> Sequence[Retried]:
        """Ask for the documents of all open entries again, some at a time."""
        each = self._retry_each(
            lambda after: list_entries(self.connections, after=after, limit=ENTRIES_AT_ONCE)
        )
        return [one async for some in each for one in some]

    async def retry_due(self) -> Counter[RetryOutcome]:
        """The same for those that may have changed without a word in the feed; counts outcomes alone.

        A host does it beside its work, and there may be a million of them.
        """
        counts: Counter[RetryOutcome] = Counter()
        async for some in self._retry_each(
            lambda after: due_entries(
                self.connections, rules=self._rules, after=after, limit=ENTRIES_AT_ONCE
            )
        ):
            counts.update(one.outcome for one in some)
        return counts

    async def _retry_each(
        self, next_entries: Callable[[int], Awaitable[Sequence[QuarantineEntry]]]
    ) -> AsyncIterator[Sequence[Retried]]:
        after = 0
        while entries := await next_entries(after):
            yield await self._retry(entries)
            after = entries[-1].id

    @property
    def _rules(self) -> str:
        """What decides whether a document is good, as far as this program has a say."""
        return f"{__version__}: {self.settings.selection.text}"

    async def _retry(self, entries: Sequence[QuarantineEntry]) -> Sequence[Retried]:
        selected = SelectedReader(reader=self.opened.points, selection=self.settings.selection)
        reader = PatientReader(selected, Patience(clock=self.clock, draw=random.random))
        store = self._store()
        retry = Retry(store=store, repair=Repair(store=store, reader=reader))
        done = await retry.run([(one.id, one.partition_key, one.document_id) for one in entries])
        asked = [one.entry_id for one in done if one.outcome is not RetryOutcome.UNDECIDED]
        await note_asked(self.connections, asked, rules=self._rules)
        return done

    def _store(self) -> Verification:
        return Verification(self.connections, container_rid=self.opened.container_rid)


def stall_seconds(settings: Settings) -> float:
    """After how long without a move a range has no host that reads it."""
    return max(LEAST_STALL_SECONDS, POLLS_OF_A_STALL * settings.poll_max_seconds)
