"""Runs the statements of batches: prepared once per session, their named parameters numbered once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import AsyncRawCursor
from psycopg.rows import TupleRow

from projector.postgres.connections import Session
from projector.postgres.statements import numbered


async def one_row(session: Session, text: str, parameters: Mapping[str, Any]) -> TupleRow | None:
    """Execute a statement that answers with one row, or with none."""
    statement = numbered(text)
    cursor = AsyncRawCursor(session)
    await cursor.execute(statement.text, statement.arguments(parameters), prepare=True)
    return await cursor.fetchone()
