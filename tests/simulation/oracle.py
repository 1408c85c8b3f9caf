"""What SQL must say, computed from the container alone, and how it differs.

The expected rows come from the projection of every visible document; totals are recounted from
the rows by SQL that shares nothing with the service's own statements.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

import psycopg

from cosmos_emulator.container import Container
from cosmos_emulator.documents import ItemKey
from projector.core.epk import epk_of_json
from projector.core.ranges import FeedRange
from projector.projection.definition import Definition, Field, Kind
from projector.projection.project import Projection
from projector.projection.writes import RowWrite
from tests.simulation.trade import CART_LINES, Trade

Key = tuple[str, str]
Row = tuple[Any, ...]
Expected: TypeAlias = Row | None
"""Of one document: its row, key and id first; None where it has none."""


def expected_rows(
    container: Container, projection: Projection, known: dict[bytes, Expected] | None = None
) -> dict[Key, Row]:
    """One row per visible document that is good and bears no marker; `known` spares what was looked at before."""
    known = {} if known is None else known
    for document in container.documents():
        if document.body not in known:
            known[document.body] = _expected(document.body, projection)
    found = (known[document.body] for document in container.documents())
    return {one[:2]: one for one in found if one is not None}


def _expected(body: bytes, projection: Projection) -> Expected:
    outcome = projection.document(body)
    if outcome.rejection is not None or outcome.write is None or outcome.write.deleted:
        return None
    return _row(outcome.write, projection.definition)


def actual_rows(
    connection: psycopg.Connection[Any], definition: Definition, shown: str | None = None
) -> dict[Key, Row]:
    """The rows of the view, as analysts meet them; `shown`: what else to read as it."""
    columns = ", ".join((definition.key.column, "id", *definition.columns))
    query = f"""
        SELECT {columns}, extract(epoch FROM changed_at)::bigint
        FROM {shown or f"{definition.schema}.{definition.rows}"}"""
    return {(row[0], row[1]): tuple(row) for row in connection.execute(query)}


def differences(
    container: Container,
    connection: psycopg.Connection[Any],
    *,
    trade: Trade = CART_LINES,
    schema: str | None = None,
    forgiven: Iterable[Key] = (),
    hidden: Collection[ItemKey] = (),
    unswept: Collection[FeedRange] = (),
) -> list[str]:
    """What is wrong, one line each.

    Rows of `forgiven` keys, and in `unswept` ranges, may be there without a document; of `hidden`
    items anything may be. `schema`: where the views stand, unless they are the public ones.
    """
    definition = trade.projection.definition
    totals = trade.wrong_totals
    if schema is not None:
        totals = totals.replace(f" {definition.schema}.", f" {schema}.")
    expected = _without(expected_rows(container, trade.projection), hidden)
    shown = None if schema is None else f"{schema}.{definition.rows}"
    actual = _without(actual_rows(connection, definition, shown), hidden)
    allowed = set(forgiven)
    if unswept:
        allowed |= {key for key in actual if any(r.contains(epk_of(key[0])) for r in unswept)}
    wrong = [f"missing {key}" for key in expected.keys() - actual.keys()]
    wrong += [f"extra {key}" for key in actual.keys() - expected.keys() - allowed]
    wrong += [
        f"stale {key}: {actual[key]} instead of {expected[key]}"
        for key in expected.keys() & actual.keys()
        if expected[key] != actual[key]
    ]
    wrong += [f"total {row[0]}" for row in connection.execute(totals.encode())]
    return sorted(wrong)


def _without(rows: dict[Key, Row], hidden: Collection[ItemKey]) -> dict[Key, Row]:
    if not hidden:
        return rows
    return {
        (cart_id, id_): row
        for (cart_id, id_), row in rows.items()
        if (epk_of(cart_id), id_) not in hidden
    }


def epk_of(cart_id: str) -> str:
    """Where a key lies."""
    return epk_of_json(json.dumps(cart_id))


def _row(write: RowWrite, definition: Definition) -> Row:
    values = zip(definition.fields, write.values, strict=True)
    return (write.key, write.id, *(_value(field, value) for field, value in values), write.ts)


def _value(field: Field, value: Any) -> object:
    if value is None:
        return None
    if field.kind is Kind.NUMBER:
        return Decimal(bytes(value).decode())
    return datetime.fromisoformat(value) if field.kind is Kind.TIME else value
