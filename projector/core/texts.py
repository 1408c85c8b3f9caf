"""How texts are shown: what strangers wrote (ids, items, owners, messages), lengths of time, times, counts.

Whoever writes a document or a lease chooses its texts. Shown as they are, they could clear the
operator's screen, forge lines of a log, turn the reading direction round or look like nothing.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

JOINERS = "\u200c\u200d"
"""They are written into words of many scripts, and into emoji, and steer nothing."""


def printable(text: str) -> str:
    r"""Returns the text with every character that cannot be seen written as its escape.

    Control characters, line and paragraph separators, formatting characters (the marks that turn
    the reading direction among them), surrogates and what Unicode has not assigned become `\n`,
    `\x1b`, `\u202e` and the like. Everything else, a backslash too, stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(one if _harmless(one) else _escaped(one) for one in text)


def _harmless(character: str) -> bool:
    if character in JOINERS:
        return True
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def duration(seconds: float) -> str:
    """A length of time as people say it, in its two largest units."""
    whole = round(seconds)
    for unit, size, smaller, part in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def moment(time: datetime) -> str:
    """A time to the second, in UTC, as people type it."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def several(number: int, noun: str) -> str:
    """As `1 range`, `2 ranges`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
