"""Statements are templates, read from top to bottom, with places for what a definition says.

`{name}` is a place. It takes a text as it is, and a list item by item, side by side; a line that grows
too long goes on below, so that what comes out can be read as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

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
