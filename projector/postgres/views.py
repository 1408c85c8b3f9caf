"""The views of schema `carts`: what BI reads, over the tables of one generation.

The columns are the contract; storage may change behind them. `view_statements` is what a rebuild
runs to move all views to another generation in one transaction; the migrations hold their own
copy, and a test keeps both equal.

Storage compares text by its bytes. People search in it, so what they read bears the collation of
the database: `lower`, ILIKE and patterns know its letters, and it can be joined with a column that
has a collation of its own. The keys of lines and carts stay as they are stored, because the server
uses an index only for a comparison in the index's own collation.

A total is kept by differences, so its text bears the zeros of every document that ever was in it;
it is shown without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from projector.postgres.generation import Generation

COLLATED = ' COLLATE pg_catalog."default"'
"""Gives a column the collation of the database."""


class View(NamedTuple):
    """One view: its query with `{rows}` for the generation's schema, and what it says."""

    name: str
    comment: str
    columns: Mapping[str, str]
    query: str


CART_ITEMS = View(
    "cart_items",
    "One row per live cart line: the newest version of a document that is good and not deleted.",
    {
        "cart_id": "The cart (cartId of the document).",
        "id": "The document's id, unique within the cart.",
        "item": "Name of the article.",
        "quantity": "How many; exact.",
        "unit_price": "Price of one, exact; NULL when the document bears none.",
        "currency": "Currency of the price, three capital letters; NULL when not told.",
        "amount": "quantity x unit_price, unrounded; NULL without a price.",
        "changed_at": "When the document was last changed at the source (_ts).",
        "extra": "All other fields of the document; {} when there are none.",
    },
    """
SELECT cart_id, id, item COLLATE pg_catalog."default" AS item, quantity, unit_price,
       currency COLLATE pg_catalog."default" AS currency,
       quantity * unit_price AS amount,
       to_timestamp(ts::double precision) AS changed_at,
       COALESCE(extra, '{{}}'::jsonb) AS extra
FROM {rows}.cart_items
WHERE NOT deleted""",
)

# A cart is the one of its buckets that changed last, so that ORDER BY last_changed_at is the order of
# an index; what its other buckets hold is added by one look-up. The first change is asked of the lines,
# and only by who asks for it.
CART_TOTALS = View(
    "cart_totals",
    "One row per cart with at least one live line.",
    {
        "cart_id": "The cart.",
        "line_count": "Number of live lines.",
        "total_quantity": "Sum of the quantities of the live lines.",
        "total_amount": "Sum of the amounts of the lines with a price; NULL when no line has a"
        " price or currencies are mixed (see cart_amounts).",
        "currency": "The one currency of total_amount; NULL when none, not told or mixed.",
        "first_changed_at": "Oldest changed_at of the live lines.",
        "last_changed_at": "Newest changed_at of the live lines.",
    },
    """
SELECT n.cart_id, n.line_count + o.line_count AS line_count,
       trim_scale(n.total_quantity + o.total_quantity) AS total_quantity,
       CASE WHEN p.buckets = 1
            THEN trim_scale(CASE WHEN n.bucket <> '' THEN n.total_amount ELSE o.total_amount END)
            END AS total_amount,
       CASE WHEN p.buckets = 1
            THEN NULLIF(CASE WHEN n.bucket <> '' THEN n.bucket ELSE o.bucket END, '-')
            END COLLATE pg_catalog."default" AS currency,
       to_timestamp(f.first_ts::double precision) AS first_changed_at,
       n.last_changed_at
FROM {rows}.cart_totals AS n
CROSS JOIN LATERAL (SELECT COALESCE(sum(b.line_count), 0)::bigint AS line_count,
                           COALESCE(sum(b.total_quantity), 0) AS total_quantity,
                           count(*) FILTER (WHERE b.bucket <> '') AS buckets,
                           sum(b.total_amount) FILTER (WHERE b.bucket <> '') AS total_amount,
                           max(b.bucket) AS bucket,
                           bool_or((b.last_changed_at, b.bucket) > (n.last_changed_at, n.bucket))
                           AS newer
                    FROM {rows}.cart_totals AS b
                    WHERE b.cart_id = n.cart_id AND b.bucket <> n.bucket
                      AND b.line_count > 0) AS o
CROSS JOIN LATERAL (SELECT o.buckets + (n.bucket <> '')::int AS buckets) AS p
LEFT JOIN LATERAL (SELECT min(i.ts) AS first_ts
                   FROM {rows}.cart_items AS i
                   WHERE i.cart_id = n.cart_id AND NOT i.deleted) AS f ON true
WHERE n.last_changed_at IS NOT NULL AND o.newer IS NOT TRUE""",
)

CART_AMOUNTS = View(
    "cart_amounts",
    "One row per cart and currency with at least one live line that has a price.",
    {
        "cart_id": "The cart.",
        "currency": "The currency; NULL for prices without one.",
        "priced_line_count": "Number of live lines with a price in this currency.",
        "total_amount": "Sum of their amounts.",
    },
    """
SELECT cart_id, NULLIF(bucket, '-') COLLATE pg_catalog."default" AS currency,
       line_count AS priced_line_count, trim_scale(total_amount) AS total_amount
FROM {rows}.cart_totals
WHERE line_count > 0 AND bucket <> ''""",
)

ITEM_TOTALS = View(
    "item_totals",
    "One row per article with at least one live line.",
    {
        "item": "Name of the article.",
        "line_count": "Number of live lines.",
        "total_quantity": "Sum of their quantities.",
    },
    """
SELECT item COLLATE pg_catalog."default" AS item, line_count,
       trim_scale(total_quantity) AS total_quantity
FROM {rows}.item_totals
WHERE line_count > 0""",
)

FRESHNESS = View(
    "freshness",
    "How current the copy is: one row per feed range, one for each stretch of keys that no host"
    " has ever read, and one, named 'all', for the whole.",
    {
        "feed_range": "Bounds of the range as min-max of effective partition keys, or 'all'.",
        "position_time": "Time at the source (_ts) of the newest change that is in the rows;"
        " for the whole the oldest of these.",
        "lag_seconds": "How far the rows may be behind the source, in seconds; NULL when unknown,"
        " as for keys that nobody reads; for the whole the greatest, NULL while one is unknown.",
        "last_commit_at": "When rows or position were last written.",
    },
    """
WITH live AS (
    SELECT r.min_epk, r.max_epk, r.position_time,
           CASE WHEN r.placed AND p.epoch = r.epoch
                THEN p.lag_seconds + GREATEST(0, extract(epoch FROM now() - p.reported_at))
                END::double precision AS lag_seconds,
           r.last_commit_at
    FROM projector.ranges AS r
    LEFT JOIN projector.range_reports AS p ON p.range_id = r.id
    WHERE r.retired_at IS NULL
), unread AS (
    SELECT reached AS min_epk, min_epk AS max_epk
    FROM (SELECT min_epk, COALESCE(max(max_epk) OVER (
                     ORDER BY min_epk, max_epk ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                     '') AS reached
          FROM (SELECT min_epk, max_epk FROM live
                UNION ALL SELECT 'FF' COLLATE "C", 'FF' COLLATE "C") AS bounds) AS edges
    WHERE reached < min_epk
), parts AS (
    SELECT min_epk || '-' || max_epk AS feed_range, position_time, lag_seconds, last_commit_at
    FROM live
    UNION ALL
    SELECT min_epk || '-' || max_epk, NULL, NULL, NULL FROM unread
)
SELECT feed_range, position_time, lag_seconds, last_commit_at
FROM parts
UNION ALL
SELECT 'all',
       CASE WHEN bool_and(position_time IS NOT NULL) THEN min(position_time) END,
       CASE WHEN bool_and(lag_seconds IS NOT NULL) THEN max(lag_seconds) END,
       max(last_commit_at)
FROM parts""",
)

VIEWS: Sequence[View] = (CART_ITEMS, CART_TOTALS, CART_AMOUNTS, ITEM_TOTALS, FRESHNESS)


def view_statement(view: View, generation: Generation) -> str:
    """SQL that points one view at one generation."""
    query = view.query.format(rows=generation.schema).strip()
    return f"CREATE OR REPLACE VIEW carts.{view.name} AS\n{query}"


def view_statements(generation: Generation) -> Sequence[str]:
    """SQL that points every view at one generation; existing views keep their grants."""
    statements = []
    for view in VIEWS:
        name = f"carts.{view.name}"
        statements.append(view_statement(view, generation))
        statements.append(f"COMMENT ON VIEW {name} IS {quoted(view.comment)}")
        statements.extend(
            f"COMMENT ON COLUMN {name}.{column} IS {quoted(comment)}"
            for column, comment in view.columns.items()
        )
    return statements


def quoted(text: str) -> str:
    """The text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
