"""What SQL must say, computed from the container alone, and how it differs.

The expected rows come from the projection of every visible document; totals are recounted from
the rows by SQL that shares nothing with the service's own statements.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

import psycopg

from cosmos_emulator.container import Container
from cosmos_emulator.documents import ItemKey
from projector.core.epk import epk_of_json
from projector.core.ranges import FeedRange
from projector.projection.writes import RowWrite
from tests.carts import project_document, value_of

Key = tuple[str, str]
Row = tuple[Any, ...]

_ROWS = """
SELECT cart_id, id, item, quantity, unit_price, currency, extract(epoch FROM changed_at)::bigint
FROM carts.cart_items
"""

_WRONG_TOTALS = """
WITH expected AS (
  SELECT cart_id, count(*) AS line_count, sum(quantity) AS total_quantity,
         CASE WHEN count(DISTINCT coalesce(currency, '')) FILTER (WHERE unit_price IS NOT NULL) = 1
              THEN sum(quantity * unit_price) END AS total_amount,
         min(changed_at) AS first_changed_at, max(changed_at) AS last_changed_at
  FROM carts.cart_items GROUP BY cart_id)
SELECT 'cart ' || coalesce(e.cart_id, t.cart_id) FROM expected e
FULL JOIN carts.cart_totals t USING (cart_id)
WHERE (e.line_count, e.total_quantity, e.total_amount, e.first_changed_at, e.last_changed_at)
  IS DISTINCT FROM
      (t.line_count, t.total_quantity, t.total_amount, t.first_changed_at, t.last_changed_at)
UNION ALL
SELECT 'item ' || coalesce(e.item, t.item) FROM
  (SELECT item, count(*) AS line_count, sum(quantity) AS total_quantity
   FROM carts.cart_items GROUP BY item) e
FULL JOIN carts.item_totals t USING (item)
WHERE (e.line_count, e.total_quantity) IS DISTINCT FROM (t.line_count, t.total_quantity)
UNION ALL
SELECT 'amount ' || coalesce(e.cart_id, t.cart_id) FROM
  (SELECT cart_id, coalesce(currency, '') AS money, count(*) AS priced_line_count,
          sum(quantity * unit_price) AS total_amount
   FROM carts.cart_items WHERE unit_price IS NOT NULL GROUP BY 1, 2) e
FULL JOIN (SELECT cart_id, coalesce(currency, '') AS money, priced_line_count, total_amount
           FROM carts.cart_amounts) t USING (cart_id, money)
WHERE (e.priced_line_count, e.total_amount) IS DISTINCT FROM (t.priced_line_count, t.total_amount)
"""


def expected_rows(container: Container) -> dict[Key, Row]:
    """One row per visible document that is good and bears no marker."""
    rows: dict[Key, Row] = {}
    for document in container.documents():
        outcome = project_document(document.body)
        if outcome.rejection is None and outcome.write is not None and not outcome.write.deleted:
            rows[outcome.write.key, outcome.write.id] = _row(outcome.write)
    return rows


def actual_rows(connection: psycopg.Connection[Any]) -> dict[Key, Row]:
    """The rows of `carts.cart_items`."""
    return {(row[0], row[1]): tuple(row) for row in connection.execute(_ROWS)}


def differences(
    container: Container,
    connection: psycopg.Connection[Any],
    *,
    forgiven: Iterable[Key] = (),
    hidden: Collection[ItemKey] = (),
    unswept: Collection[FeedRange] = (),
) -> list[str]:
    """What is wrong, one line each.

    Rows of `forgiven` keys, and in `unswept` ranges, may be there without a document; of `hidden`
    items anything may be.
    """
    expected = _without(expected_rows(container), hidden)
    actual = _without(actual_rows(connection), hidden)
    allowed = set(forgiven)
    if unswept:
        allowed |= {key for key in actual if any(r.contains(_epk(key[0])) for r in unswept)}
    wrong = [f"missing {key}" for key in expected.keys() - actual.keys()]
    wrong += [f"extra {key}" for key in actual.keys() - expected.keys() - allowed]
    wrong += [
        f"stale {key}: {actual[key]} instead of {expected[key]}"
        for key in expected.keys() & actual.keys()
        if expected[key] != actual[key]
    ]
    wrong += [f"total {row[0]}" for row in connection.execute(_WRONG_TOTALS)]
    return sorted(wrong)


def _without(rows: dict[Key, Row], hidden: Collection[ItemKey]) -> dict[Key, Row]:
    if not hidden:
        return rows
    return {
        (cart_id, id_): row
        for (cart_id, id_), row in rows.items()
        if (_epk(cart_id), id_) not in hidden
    }


def _epk(cart_id: str) -> str:
    return epk_of_json(json.dumps(cart_id))


def _row(write: RowWrite) -> Row:
    return (
        write.key,
        write.id,
        value_of(write, "item"),
        _number(value_of(write, "quantity")),
        _number(value_of(write, "unit_price")),
        value_of(write, "currency"),
        write.ts,
    )


def _number(raw: object) -> Decimal | None:
    return None if raw is None else Decimal(bytes(raw).decode())  # type: ignore[call-overload]
