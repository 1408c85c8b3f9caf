"""Rows that a query must hold all at once: kept at a price, and sorted a part at a time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any, Final

from cosmos_emulator.query.budget import PAUSE_STEPS, spend
from cosmos_emulator.query.scope import Env

KEPT_STEPS: Final = 2
"""What a row costs that stays in memory: it bounds how many there can be."""

_PART_ROWS: Final = PAUSE_STEPS


def kept(rows: Iterable[Any]) -> list[Any]:
    """All rows, as a list."""
    found = []
    for row in rows:
        spend(KEPT_STEPS)
        found.append(row)
    return found


def sorted_in_parts(rows: list[Env], *, key: Callable[[Env], Any], reverse: bool) -> list[Env]:
    """The rows sorted; equal ones stay in their order."""
    parts = []
    for start in range(0, len(rows), _PART_ROWS):
        part = rows[start : start + _PART_ROWS]
        spend(len(part))
        part.sort(key=key, reverse=reverse)
        parts.append(part)
    if len(parts) < 2:  # noqa: PLR2004  one has nothing to be merged with
        return rows if not parts else parts[0]
    merged = []
    for row in heapq.merge(*parts, key=key, reverse=reverse):
        spend()
        merged.append(row)
    return merged
