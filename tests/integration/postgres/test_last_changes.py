"""The last change of a cart: kept with its totals, found by an index, exact whatever leaves a cart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import psycopg

from projector.ports.feed import Grant
from projector.postgres.connections import Connections
from projector.postgres.sink import PostgresSink
from projector.projection.writes import RowWrite
from tests.integration.postgres.carts import apply, begun, line, page, tombstone

CARTS = 20_000
DAYS = 1_000
# Carts of one line, every hundredth with a second one in another currency.
SEED = f"""
SET projector.copied = 'alone';
INSERT INTO projector_g1.cart_items
  (epk, lsn, ts, lineage, deleted, cart_id, id, item, quantity, unit_price, currency, etag)
SELECT n, n, 1700000000 + n::bigint * 86400 * {DAYS} / {CARTS}, 0, false, 'cart ' || n % {CARTS},
  n::text, 'item ' || n % 5000, 1, 2.50, CASE WHEN n < {CARTS} THEN 'EUR' ELSE 'USD' END, ''
FROM generate_series(1, {CARTS} + {CARTS} / 100) n;
RESET projector.copied;
ANALYZE
"""
RECOUNTED = """
SELECT count(*) FROM (
  SELECT cart_id, CASE WHEN unit_price IS NULL THEN '' ELSE COALESCE(currency, '-') END AS bucket,
    to_timestamp(max(ts)) AS last FROM projector_g1.cart_items WHERE NOT deleted GROUP BY 1, 2) l
FULL JOIN projector_g1.cart_totals c USING (cart_id, bucket)
WHERE l.last IS DISTINCT FROM c.last_changed_at"""
TWENTY = ", ".join(f"'cart {n}'" for n in range(0, CARTS, CARTS // 20))
ITEMS = "'item 7', 'item 8'"

SHAPES = {
    "newest": "SELECT * FROM carts.cart_totals ORDER BY last_changed_at DESC LIMIT 10",
    "one": "SELECT * FROM carts.cart_totals WHERE cart_id = 'cart 7'",
    "some": f"SELECT * FROM carts.cart_totals WHERE cart_id IN ({TWENTY})",
    "joined": "SELECT * FROM (VALUES ('cart 1'), ('cart 2')) w(name) JOIN carts.cart_totals t ON t.cart_id = w.name",
    "per day": "SELECT date_trunc('day', last_changed_at), count(*), sum(total_amount)"
    " FROM carts.cart_totals WHERE last_changed_at >= '2026-08-01Z' GROUP BY 1",
    "lines of one": "SELECT * FROM carts.cart_items WHERE cart_id = 'cart 7'",
    "lines of some": f"SELECT * FROM carts.cart_items WHERE cart_id IN ({TWENTY})",
    "lines of joined": "SELECT * FROM (SELECT * FROM carts.cart_totals ORDER BY last_changed_at"
    " DESC LIMIT 10) t JOIN carts.cart_items i USING (cart_id)",
    "amounts of some": f"SELECT * FROM carts.cart_amounts WHERE cart_id IN ({TWENTY})",
    "one item": "SELECT * FROM carts.item_totals WHERE item = 'item 7'",
    "some items": f"SELECT * FROM carts.item_totals WHERE item IN ({ITEMS})",
}


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def test_usual_questions_are_answered_by_index(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SEED)
        for name, query in SHAPES.items():
            row = connection.execute(f"EXPLAIN (FORMAT JSON) {query}").fetchone()
            assert row is not None
            read = [node for node in nodes(row[0][0]["Plan"]) if "Relation Name" in node]
            kinds = {(node["Relation Name"], node["Node Type"]) for node in read}
            scanned = {kind for kind in kinds if kind[1] == "Seq Scan"}
            assert not scanned, (name, json.dumps(row[0], indent=1))
            assert kinds, name
        newest = connection.execute(SHAPES["newest"]).fetchall()
        slowly = connection.execute(
            "SELECT cart_id, max(changed_at) AS last FROM carts.cart_items GROUP BY 1"
            " ORDER BY 2 DESC LIMIT 10"
        ).fetchall()
        assert [(row[0], row[-1]) for row in newest] == slowly
        assert connection.execute("SELECT count(*) FROM carts.cart_totals").fetchone() == (CARTS,)


def at(write: RowWrite, ts: int) -> RowWrite:
    return msgspec.structs.replace(write, ts=ts)


async def times(connections: Connections) -> list[tuple[str, int, int]]:
    query = (
        "SELECT cart_id, extract(epoch FROM first_changed_at)::bigint,"
        " extract(epoch FROM last_changed_at)::bigint FROM carts.cart_totals ORDER BY 1"
    )
    async with connections.session() as session:
        assert await (await session.execute(RECOUNTED)).fetchall() == [(0,)]
        return await (await session.execute(query)).fetchall()


async def test_the_newest_line_may_leave_change_its_bucket_or_grow_older(
    connections: Connections, returning_old: bool | None
) -> None:
    sink = PostgresSink(connections, returning_old=returning_old)
    grant = await begun(sink)
    priced = {"price": "2", "currency": "EUR"}
    await apply(sink, grant, page(*(at(line("a", str(n), n, **priced), n * 10) for n in (1, 2, 3))))
    assert await times(connections) == [("a", 10, 30)]
    await apply(sink, grant, page(at(tombstone("a", "3", 4), 40)))
    assert await times(connections) == [("a", 10, 20)]
    await apply(sink, grant, page(at(line("a", "2", 5), 50)))  # without a price now
    assert await times(connections) == [("a", 10, 50)]
    await apply(sink, grant, page(at(line("a", "2", 6, **priced), 15)))  # a clock went back
    assert await times(connections) == [("a", 10, 15)]
    await apply(sink, grant, page(at(tombstone("a", "1", 7), 70), at(tombstone("a", "2", 7), 70)))
    assert await times(connections) == []
    await apply(sink, grant, page(at(line("a", "1", 8, **priced), 5)))
    assert await times(connections) == [("a", 5, 5)]


async def test_what_only_changes_its_time_moves_it(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(at(line("a", "1", 1), 10)))
    await apply(sink, grant, page(at(line("a", "1", 2), 20)))
    assert await times(connections) == [("a", 20, 20)]
