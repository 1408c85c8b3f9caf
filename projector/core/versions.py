"""The total order of a document's versions.

A version is (lineage, `_lsn`), compared as a pair. The lineage is a small number that PostgreSQL
raises for a range when the service's LSNs are merged or go back, so that whatever is read after
wins over whatever was read before. `_ts` decides nothing: clocks go back at failovers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Version:
    """One version of a document, or of its absence."""

    lineage: int
    lsn: int


def supersedes(incoming: Version, stored: Version | None) -> bool:
    """Whether `incoming` may overwrite what is stored; an equal version is a repetition."""
    return stored is None or incoming > stored
