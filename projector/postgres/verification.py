"""The tables for verify, repair and retry: places, verdicts beside the owner, totals recounted.

A total that is wrong is moved by what it is wrong by. Rows and totals of a batch commit together
and a batch moves totals by differences, so the error of a total is the same in every snapshot,
whatever live batches do meanwhile: no lock beyond those of its own rows, taken in key order, is
needed. One lock keeps two menders from each taking the error away. The last change of a cart is no sum:
it is read anew from the lines, once the total's row is locked, as a batch does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from projector.core.names import Epoch, InstanceName, LeaseToken
from projector.ports.feed import Grant, RangeClaim
from projector.ports.ranges import StoredRange
from projector.ports.rows import ReadMark, Settled, Verdict
from projector.ports.verification import Recount
from projector.postgres.comparison import SessionComparison, comparison
from projector.postgres.connections import Connections
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.ranges import live_ranges
from projector.postgres.sweep import SCAN_SECONDS, VerdictStore, allow_scan

# One at a time; batches go on meanwhile.
MEND_LOCK = "LOCK TABLE {rows}.item_totals IN SHARE UPDATE EXCLUSIVE MODE"
MENDED_AT_ONCE = 20_000
MENDING_ROUNDS = 1000

WRONG_CARTS = """
lines AS (
  SELECT cart_id, CASE WHEN unit_price IS NULL THEN '' ELSE COALESCE(currency, '-') END AS bucket,
    count(*) AS n, sum(quantity) AS quantity, COALESCE(sum(quantity * unit_price), 0) AS amount,
    to_timestamp(max(ts)) AS last
  FROM {rows}.cart_items WHERE NOT deleted GROUP BY 1, 2),
wrong AS (
  SELECT cart_id, bucket, COALESCE(l.n, 0) - COALESCE(c.line_count, 0) AS n,
    COALESCE(l.quantity, 0) - COALESCE(c.total_quantity, 0) AS quantity,
    COALESCE(l.amount, 0) - COALESCE(c.total_amount, 0) AS amount,
    l.last, c.last_changed_at AS said
  FROM lines l FULL JOIN {rows}.cart_totals c USING (cart_id, bucket)
  WHERE COALESCE(l.n, 0) <> COALESCE(c.line_count, 0)
    OR COALESCE(l.quantity, 0) <> COALESCE(c.total_quantity, 0)
    OR COALESCE(l.amount, 0) <> COALESCE(c.total_amount, 0)
    OR l.last IS DISTINCT FROM c.last_changed_at)"""

WRONG_ITEMS = """
lines AS (
  SELECT item, count(*) AS n, sum(quantity) AS quantity
  FROM {rows}.cart_items WHERE NOT deleted GROUP BY item),
wrong AS (
  SELECT item, COALESCE(l.n, 0) - COALESCE(i.line_count, 0) AS n,
    COALESCE(l.quantity, 0) - COALESCE(i.total_quantity, 0) AS quantity
  FROM lines l FULL JOIN {rows}.item_totals i USING (item)
  WHERE COALESCE(l.n, 0) <> COALESCE(i.line_count, 0)
    OR COALESCE(l.quantity, 0) <> COALESCE(i.total_quantity, 0))"""

COUNT_CARTS = """
WITH {wrong}
SELECT (SELECT COALESCE(sum(n), 0)::bigint FROM lines), (SELECT count(*) FROM wrong), ARRAY(
  SELECT format('cart %%s, currency %%s: off by %%s lines, quantity %%s, amount %%s%%s',
    left(cart_id, 60), CASE bucket WHEN '' THEN 'none (no price)' WHEN '-' THEN 'none'
    ELSE bucket END, -n, -quantity, -amount, CASE WHEN last IS DISTINCT FROM said
    THEN format('; last change %%s instead of %%s', COALESCE(said::text, 'none'),
      COALESCE(last::text, 'none')) END)
  FROM wrong ORDER BY cart_id, bucket LIMIT %(examples)s)""".replace("{wrong}", WRONG_CARTS)

COUNT_ITEMS = """
WITH {wrong}
SELECT 0::bigint, (SELECT count(*) FROM wrong), ARRAY(
  SELECT format('item %%s: off by %%s lines, quantity %%s', left(item, 60), -n, -quantity)
  FROM wrong ORDER BY item LIMIT %(examples)s)""".replace("{wrong}", WRONG_ITEMS)

MEND_CARTS = """
WITH {wrong}
INSERT INTO {rows}.cart_totals AS c
  (cart_id, bucket, line_count, total_quantity, total_amount, last_changed_at)
SELECT cart_id, bucket, n, quantity, amount, last FROM wrong ORDER BY cart_id, bucket LIMIT %(limit)s
ON CONFLICT (cart_id, bucket) DO UPDATE SET
  line_count = c.line_count + excluded.line_count,
  total_quantity = c.total_quantity + excluded.total_quantity,
  total_amount = c.total_amount + excluded.total_amount,
  last_changed_at = {rows}.newest_line(c.cart_id, c.bucket)""".replace("{wrong}", WRONG_CARTS)

MEND_ITEMS = """
WITH {wrong}
INSERT INTO {rows}.item_totals AS i (item, line_count, total_quantity)
SELECT item, n, quantity FROM wrong ORDER BY item LIMIT %(limit)s
ON CONFLICT (item) DO UPDATE SET
  line_count = i.line_count + excluded.line_count,
  total_quantity = i.total_quantity + excluded.total_quantity""".replace("{wrong}", WRONG_ITEMS)


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

    async def places(self) -> Sequence[StoredRange]:
        """The live stored ranges; see `VerifyStore`."""
        return await live_ranges(self._connections, self._container_rid)

    def comparison(self) -> AbstractAsyncContextManager[SessionComparison]:
        """A comparison in a session of its own; see `VerifyStore`."""
        return comparison(self._connections, generation=self._generation)

    async def read_mark(self, range_id: int) -> ReadMark | None:
        """What to note before point reads; see `VerifyStore`."""
        return await self._verdicts.read_mark(range_id)

    async def repair(
        self, place: StoredRange, mark: ReadMark, verdicts: Sequence[Verdict]
    ) -> Settled | None:
        """Write what point reads said; see `VerifyStore`."""
        return await self._verdicts.apply_repairs(self._grant(place), mark, verdicts)

    async def recount(self, *, examples: int) -> Recount:
        """One statement, so one snapshot, for each kind of total; see `VerifyStore`."""
        carts = await self._count(COUNT_CARTS, examples)
        items = await self._count(COUNT_ITEMS, examples)
        return Recount(
            rows=carts.rows,
            wrong=carts.wrong + items.wrong,
            examples=(carts.examples + items.examples)[:examples],
        )

    async def mend_totals(self) -> int:
        """Carts first, then items, as batches lock them; see `VerifyStore`."""
        return await self._mend(MEND_CARTS) + await self._mend(MEND_ITEMS)

    async def _count(self, statement: str, examples: int) -> Recount:
        async with self._connections.transaction(seconds=SCAN_SECONDS) as session:
            await allow_scan(session)
            text = statement.replace("{rows}", self._generation.schema)
            row = await (await session.execute(text, {"examples": examples})).fetchone()
        return (
            Recount(rows=0, wrong=0)
            if row is None
            else Recount(rows=row[0], wrong=row[1], examples=tuple(row[2]))
        )

    async def _mend(self, statement: str) -> int:
        mended = 0
        for _ in range(MENDING_ROUNDS):
            async with self._connections.transaction(seconds=SCAN_SECONDS) as session:
                await session.execute(MEND_LOCK.replace("{rows}", self._generation.schema))
                await allow_scan(session)
                text = statement.replace("{rows}", self._generation.schema)
                changed = (await session.execute(text, {"limit": MENDED_AT_ONCE})).rowcount
            mended += changed
            if changed < MENDED_AT_ONCE:
                break
        return mended

    def _grant(self, place: StoredRange) -> Grant:
        claim = RangeClaim(
            container_rid=self._container_rid,
            processor_name="",
            lease_token=LeaseToken(str(place.feed_range)),
            feed_range=place.feed_range,
            owner=InstanceName(""),
        )
        return Grant(claim=claim, epoch=Epoch(0), range_id=place.range_id, lineage=place.lineage)
