"""The tables for verify, repair and retry: ranges, verdicts beside the owner, totals recounted and mended.

A total that is wrong is moved by what it is wrong by. Rows and totals of a batch commit together
and a batch moves totals by differences, so the error of a total is the same in every snapshot,
whatever live batches do meanwhile: no lock beyond those of its own rows, taken in key order, is
needed. One lock keeps two menders from each taking the error away. The last change of a group is no sum:
it is read anew from the rows, once the total's row is locked, as a batch does it. A recount is one
statement for each total, so one snapshot. Expected plan: one scan of the rows, one of the total, a full join.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from projector.core.names import Epoch, InstanceName, LeaseToken
from projector.ports.feed import Grant, RangeClaim
from projector.ports.ranges import StoredRange
from projector.ports.rows import Mended, ReadMark, Verdict
from projector.ports.verification import Recount
from projector.postgres.comparison import SessionComparison, comparison
from projector.postgres.connections import Connections
from projector.postgres.deltas import in_locking_order, newest_call
from projector.postgres.generation import (
    FIRST_GENERATION,
    Generation,
    group_type,
    key_columns,
    keys_of,
    quoted,
    shown_group,
    value_of,
)
from projector.postgres.ranges import live_ranges
from projector.postgres.sweep import SCAN_SECONDS, VerdictStore, allow_scan
from projector.postgres.templates import each, filled
from projector.projection.definition import Bucket, Definition, Group, Total

MENDED_AT_ONCE = 20_000
MENDING_ROUNDS = 1000

# One mender at a time; batches go on meanwhile.
LOCK = "LOCK TABLE {total} IN SHARE UPDATE EXCLUSIVE MODE"

# Where nothing counts them.
LIVE_ROWS = "SELECT count(*), 0, ARRAY[]::text[] FROM {rows} WHERE NOT deleted"

WRONG = """counted AS (
  SELECT {groups}, {counted}
  FROM {rows} WHERE NOT deleted GROUP BY {ordinals}),
wrong AS (
  SELECT {keys}, {off}
  FROM counted l FULL JOIN {total} c USING ({keys})
  WHERE {differs})"""

COUNT = """
WITH {wrong}
SELECT (SELECT COALESCE(sum({row_count}), 0)::bigint FROM counted), (SELECT count(*) FROM wrong), ARRAY(
  SELECT format({told})
  FROM wrong ORDER BY {keys} LIMIT %(examples)s)"""

MEND = """
WITH {wrong}
INSERT INTO {total} AS c ({columns})
SELECT {columns} FROM wrong ORDER BY {keys} LIMIT %(limit)s
ON CONFLICT ({keys}) DO UPDATE SET
  {moved}"""

LAST_CHANGE = """CASE WHEN last_changed_at IS DISTINCT FROM stored_at
    THEN format('; last change %%s instead of %%s', COALESCE(stored_at::text, 'none'),
      COALESCE(last_changed_at::text, 'none')) END"""

LONGEST = 60
"""Characters of a text that a message shows."""


class Verification:
    """`VerifyStore` of one generation."""

    def __init__(
        self,
        connections: Connections,
        *,
        container_rid: str,
        generation: Generation = FIRST_GENERATION,
        returning_old: bool | None = None,
        on_removed: Callable[[int], object] = lambda rows: None,
    ) -> None:
        """Take the copy of that container in that generation; tell of rows that a repair removed."""
        self._on_removed = on_removed
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
        mended = await self._verdicts.apply_repairs(self._grant(stored), mark, verdicts)
        if mended is not None:
            self._on_removed(mended.removed)
        return mended

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


def count_statement(generation: Generation, total: Total) -> str:
    """How many live rows there are, how many of the total's are wrong, and the first of these in words."""
    return filled(
        COUNT,
        row_count=total.row_count,
        wrong=_wrong(generation, total),
        told=_told(generation.definition, total),
        keys=key_columns(total),
    )


def mend_statement(generation: Generation, total: Total) -> str:
    """Moves wrong rows of the total by what they are wrong by, in the order in which batches lock them."""
    keys, counted = key_columns(total), _counted(total)
    moved = each("{} = c.{} + excluded.{}", counted)
    columns = [*keys, *counted]
    if total.keeps_last_change:
        columns.append("last_changed_at")
        moved.append(f"last_changed_at = {newest_call(generation, total, 'c.')}")
    return filled(
        MEND,
        wrong=_wrong(generation, total),
        total=generation.table(total.name),
        columns=columns,
        keys=keys,
        moved=moved,
    )


def _wrong(generation: Generation, total: Total) -> str:
    definition, names = generation.definition, _counted(total)
    keys = keys_of(definition, total)
    sums = [f"sum({value_of(definition, one.of)}) AS {one.column}" for one in total.sums]
    counted = [f"count(*) AS {total.row_count}", *sums]
    off = each("COALESCE(l.{}, 0) - COALESCE(c.{}, 0) AS {}", names)
    differs = each("COALESCE(l.{}, 0) <> COALESCE(c.{}, 0)", names)
    if total.keeps_last_change:
        counted.append("to_timestamp(max(ts)) AS last_changed_at")
        off += ["l.last_changed_at", "c.last_changed_at AS stored_at"]
        differs.append("l.last_changed_at IS DISTINCT FROM c.last_changed_at")
    return filled(
        WRONG,
        groups=[value if value == name else f"{value} AS {name}" for name, value in keys],
        counted=counted,
        rows=generation.rows,
        ordinals=[str(number) for number in range(1, len(keys) + 1)],
        keys=key_columns(total),
        off=off,
        total=generation.table(total.name),
        differs="\n    OR ".join(differs),
    )


def _counted(total: Total) -> Sequence[str]:
    return [total.row_count, *(one.column for one in total.sums)]


def _told(definition: Definition, total: Total) -> Sequence[str]:
    """A sentence for `format`, and what it tells: group and bucket, and by how much the total is off."""
    named = [(_noun(definition, group), _shown(definition, group)) for group in total.by]
    if total.bucket is not None:
        named.append((total.bucket.column, _shown_bucket(definition, total.bucket)))
    off = [(f"{one.of} %%s", f"-{one.column}") for one in total.sums]
    groups = ", ".join(f"{noun} %%s" for noun, _ in named)
    words = ", ".join([f"off by %%s {definition.row_noun}s", *(word for word, _ in off)])
    values = [*(value for _, value in named), f"-{total.row_count}", *(value for _, value in off)]
    if total.keeps_last_change:
        return [f"'{groups}: {words}%%s'", *values, LAST_CHANGE]
    return [f"'{groups}: {words}'", *values]


def _noun(definition: Definition, group: Group) -> str:
    return definition.noun if group.of == definition.key.column else group.column


def _shown(definition: Definition, group: Group) -> str:
    shown = shown_group(definition, group)
    text = shown if group_type(definition, group) == "text" else f"({shown})::text"
    text = f"left({text}, {LONGEST})"
    return f"COALESCE({text}, 'none')" if definition.is_nullable(group.of) else text


def _shown_bucket(definition: Definition, bucket: Bucket) -> str:
    nothing = quoted(f"none (no {definition.field_of(bucket.of).name})").replace("%", "%%")
    return f"CASE bucket WHEN '' THEN {nothing} WHEN '-' THEN 'none' ELSE bucket END"
