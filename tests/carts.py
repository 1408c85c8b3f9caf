"""The cart projection as tests use it: decoded, and its rows told apart by name."""

from __future__ import annotations

from typing import Any

from projector.projection.carts import CARTS
from projector.projection.project import Projection
from projector.projection.writes import RowWrite

CART_PROJECTION = Projection(CARTS)
project_page = CART_PROJECTION.page
project_document = CART_PROJECTION.document


def value_of(write: RowWrite, column: str) -> Any:
    """The value of one column; None in a tombstone."""
    return write.values[CARTS.columns.index(column)] if write.values else None


def number_of(write: RowWrite, column: str) -> bytes | None:
    """The text of a number column; None where it has none."""
    value = value_of(write, column)
    return None if value is None else bytes(value)
