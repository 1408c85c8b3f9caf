"""The tables for verify, repair and retry: places, verdicts beside the owner, totals recounted.

Each recount is one statement, so one snapshot; how a wrong total is mended beside batches says `recount`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from projector.core.names import Epoch, InstanceName, LeaseToken
from projector.ports.feed import Grant, RangeClaim
from projector.ports.ranges import StoredRange
from projector.ports.rows import Mended, ReadMark, Verdict
from projector.ports.verification import Recount
from projector.postgres.comparison import SessionComparison, comparison
from projector.postgres.connections import Connections
from projector.postgres.deltas import in_locking_order
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.ranges import live_ranges
from projector.postgres.recount import LIVE_ROWS, LOCK, count_statement, mend_statement
from projector.postgres.sweep import SCAN_SECONDS, VerdictStore, allow_scan
from projector.postgres.templates import filled
from projector.projection.definition import Total

MENDED_AT_ONCE = 20_000
MENDING_ROUNDS = 1000


class Verification:
    """`VerifyStore` of one generation."""

    def __init__(
        self,
        connections: Connections,
        *,
        container_rid: str,
        generation: Generation = FIRST_GENERATION,
        returning_old: bool | None = None,
    ) -> None:
        """Take the copy of that container in that generation."""
        self._connections = connections
        self._container_rid = container_rid
        self._generation = generation
        self._verdicts = VerdictStore(
            connections, generation=generation, returning_old=returning_old
        )

    async def stored_ranges(self) -> Sequence[StoredRange]:
        """The live stored ranges; see `VerifyStore`."""
        return await live_ranges(self._connections, self._container_rid)

    def comparison(self) -> AbstractAsyncContextManager[SessionComparison]:
        """A comparison in a session of its own; see `VerifyStore`."""
        return comparison(self._connections, generation=self._generation)

    async def read_mark(self, range_id: int) -> ReadMark | None:
        """What to note before point reads; see `VerifyStore`."""
        return await self._verdicts.read_mark(range_id)

    async def repair(
        self, stored: StoredRange, mark: ReadMark, verdicts: Sequence[Verdict]
    ) -> Mended | None:
        """Write what point reads said; see `VerifyStore`."""
        return await self._verdicts.apply_repairs(self._grant(stored), mark, verdicts)

    async def recount(self, *, examples: int) -> Recount:
        """One statement, so one snapshot, for each total; see `VerifyStore`."""
        statements = [
            count_statement(self._generation, total) for total in self._generation.definition.totals
        ]
        found = [
            await self._counted(statement, examples)
            for statement in statements or [filled(LIVE_ROWS, rows=self._generation.rows)]
        ]
        told = [line for one in found for line in one.examples]
        return Recount(
            rows=found[0].rows,
            wrong=sum(one.wrong for one in found),
            examples=tuple(told[:examples]),
        )

    async def mend_totals(self) -> int:
        """Total by total, as batches lock them; see `VerifyStore`."""
        totals = in_locking_order(self._generation.definition)
        return sum([await self._mend(total) for total in totals])

    async def _counted(self, statement: str, examples: int) -> Recount:
        async with self._connections.transaction(seconds=SCAN_SECONDS) as session:
            await allow_scan(session)
            rows = await session.execute(statement, {"examples": examples})
            ((live, wrong, told),) = await rows.fetchall()
        return Recount(rows=live, wrong=wrong, examples=tuple(told))

    async def _mend(self, total: Total) -> int:
        lock = LOCK.replace("{total}", self._generation.table(total.name))
        statement = mend_statement(self._generation, total)
        mended = 0
        for _ in range(MENDING_ROUNDS):
            async with self._connections.transaction(seconds=SCAN_SECONDS) as session:
                await session.execute(lock)
                await allow_scan(session)
                changed = (await session.execute(statement, {"limit": MENDED_AT_ONCE})).rowcount
            mended += changed
            if changed < MENDED_AT_ONCE:
                break
        return mended

    def _grant(self, stored: StoredRange) -> Grant:
        claim = RangeClaim(
            container_rid=self._container_rid,
            processor_name="",
            lease_token=LeaseToken(str(stored.feed_range)),
            feed_range=stored.feed_range,
            owner=InstanceName(""),
        )
        return Grant(claim=claim, epoch=Epoch(0), range_id=stored.range_id, lineage=stored.lineage)
