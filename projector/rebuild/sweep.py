"""Ending a replay: rows and quarantine entries that it did not see are confirmed, then go.

A document that was deleted outright, or expired while nobody read, is in no replay. Its key is a
candidate; a point read decides, under the version order, so the sweep may run beside the live
reader, a repair or a retry, in any order. Nothing is removed on inference alone. A crash at any
step leaves the replay open, and the next owner sweeps again.

Memory: one page of candidates. Source: docs/explanation/deletes-and-ttl.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from projector.core.errors import SourceUnavailable
from projector.ports.feed import Grant
from projector.ports.points import PointReader
from projector.ports.rows import DocumentKey, Settled, SweepStore, Verdict
from projector.rebuild.together import together
from projector.rebuild.verdicts import verdict_of

CANDIDATES_PER_STEP = 500
READS_AT_ONCE = 16


class Sweeper:
    """Confirms candidates by point reads and writes the verdicts."""

    def __init__(self, *, store: SweepStore, reader: PointReader) -> None:
        self._store = store
        self._reader = reader

    async def settle(self, grant: Grant, *, session_token: str | None) -> Settled:
        """Sweep the granted range and close its replay.

        `session_token` is that of the range's last page: no answer may be older.

        Steps, in this order:
            1. the lineage, before any read begins;
            2. a page of candidates, a point read each;
            3. the verdicts, in one transaction under the fence; repeated until none is left;
            4. the replay is closed.

        Raises: FencedOut, SinkUnavailable, SourceUnavailable, Throttled, SourceRecreated.
        """
        removed = projected = unchanged = 0
        after: DocumentKey | None = None
        while True:
            lineage = await self._store.lineage(grant)
            keys = await self._store.sweep_candidates(grant, after=after, limit=CANDIDATES_PER_STEP)
            if not keys:
                break
            verdicts = await read_verdicts(self._reader, keys, session_token=session_token)
            done = await self._store.apply_verdicts(grant, lineage=lineage, verdicts=verdicts)
            removed, projected = removed + done.removed, projected + done.projected
            unchanged += done.unchanged
            after = keys[-1]
        await self._store.finish_replay(grant)
        return Settled(removed=removed, projected=projected, unchanged=unchanged)


async def read_verdicts(
    reader: PointReader, keys: Sequence[DocumentKey], *, session_token: str | None
) -> Sequence[Verdict]:
    """One verdict per key, in their order, a few reads at a time.

    Raises: SourceUnavailable when an answer does not tell how far the service was.
    """
    room = asyncio.Semaphore(READS_AT_ONCE)

    async def one(key: DocumentKey) -> Verdict:
        async with room:
            read = await reader.read(key.partition_key, key.id, session_token=session_token)
        verdict = verdict_of(key, read)
        if verdict is None:
            raise SourceUnavailable("the service answered a point read without a session token")
        return verdict

    return await together((one(key) for key in keys), name="point read")
