"""Runs the statements of batches: prepared once per session, their named parameters numbered once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncRawCursor
from psycopg.rows import TupleRow

from projector.postgres.columns import columns_of
from projector.postgres.connections import Session
from projector.postgres.portions import Outcome
from projector.postgres.statements import BatchShape, batch_statement, numbered
from projector.projection.writes import RowWrite


async def one_row(session: Session, text: str, parameters: Mapping[str, Any]) -> TupleRow | None:
    """Execute a statement that answers with one row, or with none."""
    statement = numbered(text)
    cursor = AsyncRawCursor(session)
    await cursor.execute(statement.text, statement.arguments(parameters), prepare=True)
    return await cursor.fetchone()


async def execute(
    session: Session,
    shape: BatchShape,
    parameters: Mapping[str, Any],
    writes: Sequence[RowWrite],
) -> Outcome | None:
    """Run the batch statement; None when the fence, or a flag it asks about, says no."""
    arguments = {**parameters, **columns_of(writes, shape.generation.definition)}
    row = await one_row(session, batch_statement(shape), arguments)
    if row is None or not row[0]:
        return None
    return Outcome(healed=row[1], upserted=row[2], inserted=row[3], removed=row[4])
