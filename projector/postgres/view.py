"""What a view is, said once: for the server, for those who query, and for the tools that they use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

COLLATED = ' COLLATE pg_catalog."default"'
"""Gives a column the collation of the database."""


class View(NamedTuple):
    """One view: its query, and what it says of itself and of its columns, in their order.

    Attributes:
        key: the columns that no two rows have alike; NULL counts as a value.
        optional: the columns that may be NULL.
        accepted: column -> all values that it may have, where they are few.
    """

    name: str
    comment: str
    columns: Mapping[str, str]
    query: str
    key: Sequence[str]
    optional: frozenset[str] = frozenset()
    accepted: Mapping[str, Sequence[str]] = MappingProxyType({})


def listed(parts: Sequence[str], indent: int = 7) -> str:
    """The columns of a select list, one below the other."""
    return f",\n{' ' * indent}".join(parts)
