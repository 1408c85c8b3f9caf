"""What SQL is written with: templates of statements, and views that are said once.

A statement is a template, read from top to bottom; `{name}` is a gap for what a definition says. It takes
a text as it is, and a list item by item, side by side; a line that grows too long goes on below, so that
what comes out can be read as well. A view is said once for the server, for those who query, and for the
tools that they use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

WIDTH = 100

_PLACE = re.compile(r"\{(\w+)\}")
_BREAK = "\0"
_ONE_LEVEL = "  "


def filled(template: str, **parts: str | Sequence[str]) -> str:
    """The template with every place filled; raises KeyError for one that nothing is given for."""
    texts = {
        name: part if isinstance(part, str) else f",{_BREAK}".join(part)
        for name, part in parts.items()
    }
    lines = _PLACE.sub(lambda place: texts[place[1]], template).split("\n")
    return "\n".join(line if _BREAK not in line else _wrapped(line) for line in lines)


def each(pattern: str, names: Sequence[str]) -> list[str]:
    """`excluded.{}` for each of the names."""
    return [pattern.replace("{}", name) for name in names]


def _wrapped(line: str) -> str:
    begins = line.lstrip()
    indented = line[: len(line) - len(begins)] + (_ONE_LEVEL if begins[:1].isupper() else "")
    first, *others = line.split(_BREAK)
    lines = [first]
    for item in others:
        if len(lines[-1]) + 1 + len(item) > WIDTH:
            lines.append(indented + item)
        else:
            lines[-1] += f" {item}"
    return "\n".join(lines)


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
