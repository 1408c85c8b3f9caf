"""Quarantine for people: an entry is shown, set aside, taken up again or retried, if it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from projector.core.errors import ConfigurationError
from projector.ports.quarantine import EntryStatus, QuarantinedDocument, QuarantineEntry

ENTRIES_AT_ONCE = 500
SEE = "type: projector quarantine list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """The entries of one target; its functions tell by None or False that there is none."""

    show_entry: Callable[[int], Awaitable[QuarantinedDocument | None]]
    discard_entry: Callable[[int], Awaitable[bool]]
    reopen_entry: Callable[[int], Awaitable[bool]]

    async def show(self, entry_id: int) -> QuarantinedDocument:
        """One entry in full. Raises ConfigurationError."""
        found = await self.show_entry(entry_id)
        if found is None:
            raise ConfigurationError(f"there is no quarantine entry {entry_id}; {SEE}")
        return found

    async def to_retry(self, entry_id: int) -> QuarantineEntry:
        """One whose document can be asked for again. Raises ConfigurationError."""
        entry = (await self.show(entry_id)).entry
        if entry.status is EntryStatus.CLOSED:
            raise ConfigurationError(
                f"quarantine entry {entry_id} is closed already: its document is good or gone"
            )
        return entry

    async def discard(self, entry_id: int) -> EntryStatus:
        """Set an open entry aside for good. Raises ConfigurationError."""
        if not await self.discard_entry(entry_id):
            raise ConfigurationError(f"there is no open quarantine entry {entry_id}; {SEE}")
        return EntryStatus.DISCARDED

    async def reopen(self, entry_id: int) -> EntryStatus:
        """Take a discarded entry up again. Raises ConfigurationError."""
        if not await self.reopen_entry(entry_id):
            raise ConfigurationError(
                f"there is no discarded quarantine entry {entry_id}; {SEE} --status discarded"
            )
        return EntryStatus.OPEN


async def in_steps(
    next_entries: Callable[[int], Awaitable[Sequence[QuarantineEntry]]],
) -> AsyncIterator[Sequence[QuarantineEntry]]:
    """All entries, some at a time, each asked for from behind the last; there may be a million."""
    after = 0
    while found := await next_entries(after):
        yield found
        after = found[-1].id
