"""What a plan reads: the large tables of which it reads every row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

LARGE_ROWS = 10_000
LARGE = f"SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND reltuples >= {LARGE_ROWS}"


def scanned(connection: psycopg.Connection[Any], query: str) -> set[str]:
    """The large tables that the query's plan reads as a whole, one after another or along an index."""
    large = {str(row[0]) for row in connection.execute(LARGE.encode())}
    [(plans,)] = connection.execute(b"EXPLAIN (FORMAT JSON) " + query.encode()).fetchall()
    return set(_scanned(plans[0]["Plan"], limited=False)) & large


def _scanned(node: dict[str, Any], *, limited: bool) -> Iterator[str]:
    if "Relation Name" in node and not _narrowed(node) and not limited:
        yield node["Relation Name"]
    # Rows that are wanted one by one are read one by one, until something needs them all.
    stops = limited and node["Node Type"] not in {"Sort", "Aggregate", "Hash", "Materialize"}
    for inner in node.get("Plans", ()):
        yield from _scanned(inner, limited=stops or node["Node Type"] == "Limit")


def _narrowed(node: dict[str, Any]) -> bool:
    """Whether it looks rows up; a bitmap's condition stands at the scan of its index."""
    return "Index Cond" in node or node["Node Type"] == "Bitmap Heap Scan"
