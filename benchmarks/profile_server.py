"""The server's steps of one document, by leaving parts of the real statements out.

Each variant has a generation of its own and one position row. Differences of two variants are what
the part between them costs, its locks, its write-ahead log and the passing on of rows included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from benchmarks.applying import without_collector
from benchmarks.documents import Document, Feed, Shop, chunks, page_body
from benchmarks.target import BenchServer, check_totals
from benchmarks.timing import median, thread_seconds
from projector.postgres import copying, statements, tables
from projector.postgres.columns import columns_of, version_columns
from projector.postgres.connections import ConnectionOptions, Connections, Session
from projector.postgres.copying import copy_rows
from projector.postgres.generation import Generation
from projector.postgres.statements import one_row
from projector.projection.carts import CARTS
from projector.projection.project import Projection, fold
from projector.projection.writes import RowWrite

project_page = Projection(CARTS).page

Row = tuple[str, float | None, float | None, float | None]
Parameters = Mapping[str, Any]

ADD_RANGE = """
INSERT INTO projector.ranges (container_rid, processor_name, lease_token, min_epk, max_epk, epoch,
  opened_epoch, lineage, placed, recent_ticks, seen_group, opened_at)
VALUES (%s, 'bench', %s, '', 'FF', 1, 1, 0, true, ARRAY[0, 0, 0, 0], 1, now())
RETURNING id"""
COUNT_INPUT = "SELECT (SELECT count(*) FROM fence), 0, 0, 0, count(*) FROM input"
SEEN = f",\nseen AS ({statements.with_seeds(statements.SEEN)})"
PER_CART, ITEMS = (total.name for total in CARTS.totals)
SEEN_BY_TRIGGER = re.compile(r"IF current_setting.*?END IF;", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The statements without these parts; `rows` False: the batch is parsed and nothing written."""

    name: str
    without: tuple[str, ...] = ()
    rows: bool = True

    @property
    def schema(self) -> str:
        """Of its generation."""
        return f"projector_{self.name}"

    @property
    def generation(self) -> Generation:
        """Carts without these totals, in a schema of its own."""
        totals = tuple(total for total in CARTS.totals if total.name not in self.without)
        return Generation(definition=replace(CARTS, totals=totals), schema=self.schema)


WHOLE = Variant(name="whole")
NO_ITEMS = Variant(name="no_items", without=(ITEMS,))
NO_TOTALS = Variant(name="no_totals", without=(ITEMS, PER_CART))
BARE = Variant(name="bare", without=(ITEMS, PER_CART, "seen"))
PARSED = Variant(name="parsed", without=(ITEMS, PER_CART, "seen"), rows=False)
VARIANTS = (WHOLE, NO_ITEMS, NO_TOTALS, BARE, PARSED)


async def server_steps(server: BenchServer, documents: int, batch: int) -> Sequence[Row]:
    """Microseconds of CPU per document: step, then for new, changed and unchanged documents."""
    shop, feed = Shop(4), Feed()
    lines = shop.carts(documents)
    new = _batches(feed.stamp(lines), batch)
    with server.database() as url:
        for variant in VARIANTS:
            _create(url, variant)
        options = ConnectionOptions(url=url, connections=1)
        async with Connections(options) as connections, connections.session() as session:
            bench = _Bench(session, await _ranges(session))
            await bench.fill(new)
            copied = await bench.run(new, bench.copy, VARIANTS[:-1])
            unchanged = await bench.run(new, bench.look, (WHOLE, BARE))
            changed_batches = _batches(feed.stamp(shop.changed(lines)), batch)
            changed = await bench.run(changed_batches, bench.upsert, VARIANTS)
            place = await bench.run(new, bench.move, (WHOLE,))
        check_totals(url, WHOLE.schema)
    return _rows(place[WHOLE], copied, changed, unchanged)


Costs = Mapping[Variant, float]


def _rows(place: float, copied: Costs, changed: Costs, unchanged: Costs) -> Sequence[Row]:
    return [
        ("position and commit, once per batch", place, place, place),
        ("parse", None, changed[PARSED] - place, None),
        (
            "rows (parse included, where parse is -)",
            copied[BARE] - place,
            changed[BARE] - changed[PARSED],
            unchanged[BARE] - place,
        ),
        (
            "keys seen by an open replay",
            copied[NO_TOTALS] - copied[BARE],
            changed[NO_TOTALS] - changed[BARE],
            unchanged[WHOLE] - unchanged[BARE],
        ),
        (
            "cart totals",
            copied[NO_ITEMS] - copied[NO_TOTALS],
            changed[NO_ITEMS] - changed[NO_TOTALS],
            None,
        ),
        ("item totals", copied[WHOLE] - copied[NO_ITEMS], changed[WHOLE] - changed[NO_ITEMS], None),
        ("all", copied[WHOLE], changed[WHOLE], unchanged[WHOLE]),
    ]


class _Bench:
    """Runs one way of all variants, batch by batch in turn, on one session."""

    def __init__(self, session: Session, ranges: Mapping[str, int]) -> None:
        self._session = session
        self._ranges = ranges
        self._pid = session.info.backend_pid
        self._number = 0

    async def fill(self, batches: Sequence[Sequence[RowWrite]]) -> None:
        """The variant that never writes rows would update none: give it the same ones, untimed."""
        for writes in batches:
            await self.copy(PARSED, writes)

    async def run(
        self, batches: Sequence[Sequence[RowWrite]], way: Any, variants: Sequence[Variant]
    ) -> Costs:
        """Median CPU of the server per document; the first batch pays for plans and is not counted."""
        found: dict[Variant, list[float]] = {variant: [] for variant in variants}
        with without_collector():
            for number, writes in enumerate(batches):
                first = number % len(variants)
                for variant in (*variants[first:], *variants[:first]):
                    began = thread_seconds(self._pid)
                    await way(variant, writes)
                    if number:
                        spent = thread_seconds(self._pid) - began
                        found[variant].append(spent / len(writes) * 1e6)
        return {variant: median(values) for variant, values in found.items()}

    async def copy(self, variant: Variant, writes: Sequence[RowWrite]) -> None:
        """New rows by COPY."""
        parameters = self._parameters(variant)
        await copy_rows(self._session, parameters, writes, generation=variant.generation)

    async def upsert(self, variant: Variant, writes: Sequence[RowWrite]) -> None:
        """Newer versions by the batch statement."""
        parameters = {**self._parameters(variant), **columns_of(writes, CARTS)}
        await one_row(self._session, _statement(variant), parameters)

    async def look(self, variant: Variant, writes: Sequence[RowWrite]) -> None:
        """Stored versions by the statement that looks."""
        parameters = {**self._parameters(variant), **version_columns(writes)}
        text = _cut(statements.look_statement(variant.generation), variant)
        async with self._session.transaction():
            await one_row(self._session, text, parameters)

    async def move(self, variant: Variant, _: Sequence[RowWrite]) -> None:
        """The position alone."""
        await one_row(self._session, statements.FENCE, self._parameters(variant))

    def _parameters(self, variant: Variant) -> Parameters:
        self._number += 1
        return {
            "range_id": self._ranges[variant.schema],
            "epoch": 1,
            "lineage": 0,
            "after": None,
            "continuation": None,
            "place_lsn": self._number,
            "newest_ts": None,
            "delivered": 1,
            "only_clean": True,
            "after_tick": 0,
        }


def _batches(documents: Sequence[Document], batch: int) -> list[Sequence[RowWrite]]:
    return [fold([project_page(page_body(part))]).writes for part in chunks(documents, batch)]


def _create(url: str, variant: Variant) -> None:
    count = copying.count_copied(variant.generation)
    if "seen" in variant.without:
        count = SEEN_BY_TRIGGER.sub("", count)
    text = count.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    with psycopg.connect(url) as connection:
        for statement in (*tables.table_statements(variant.generation), text):
            connection.execute(statement.encode())


async def _ranges(session: Session) -> Mapping[str, int]:
    found = {}
    for variant in VARIANTS:
        row = await (await session.execute(ADD_RANGE, [variant.schema] * 2)).fetchone()
        found[variant.schema] = 0 if row is None else int(row[0])
    return found


def _statement(variant: Variant) -> str:
    shape = statements.BatchShape(generation=variant.generation, returning_old=True)
    text = _cut(statements.batch_statement(shape), variant)
    if variant.rows:
        return text
    head = text[: text.index(",\nwritten AS (")].replace("input AS (", "input AS MATERIALIZED (")
    return head + COUNT_INPUT


def _cut(text: str, variant: Variant) -> str:
    return text.replace(SEEN, "") if "seen" in variant.without else text
