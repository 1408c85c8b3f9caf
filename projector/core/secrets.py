"""What nobody may read, by value: the last net under every text that is shown or stored.

Texts are written so that they hold no secret in the first place; this catches what a library repeats.
Whoever learns a secret conceals it; whoever lets a text out has it scrubbed. A secret of a few letters
is cut out only where it stands alone, since it may well be part of a word, and one that equals a name
which is no secret (the user, the database) is left, or no message could name that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "***"
SHORTEST = 3
WORD = 6
"""From so many characters on a secret is cut out of the middle of a word, too."""

_patterns: dict[str, str] = {}
_compiled: list[re.Pattern[str]] = []


def conceal(values: Iterable[str], *, public: Iterable[str] = ()) -> None:
    """From now on no scrubbed text shows one of these values, plain, quoted or escaped.

    Args:
        values: the secrets; empty ones count for nothing.
        public: names that may be shown although a secret is spelt the same.
    """
    shown = {"projector", "postgres", *public}
    for value in values:
        if len(value) < SHORTEST or value in shown:
            continue
        for form in (value, *_escaped(value)):
            _patterns[form] = _pattern(form)
    _compiled.clear()


def scrubbed(text: str) -> str:
    """The text without any concealed value."""
    if not _patterns:
        return text
    if not _compiled:
        longest_first = sorted(_patterns, key=len, reverse=True)
        _compiled.append(re.compile("|".join(_patterns[form] for form in longest_first)))
    return _compiled[0].sub(MASK, text)


def _pattern(form: str) -> str:
    text = re.escape(form)
    return text if len(form) >= WORD else rf"(?<!\w){text}(?!\w)"


def _escaped(value: str) -> tuple[str, ...]:
    """As a URL, a log line or a `repr` writes it."""
    raw = value.encode(errors="surrogatepass")
    return (
        quote(raw, safe=""),
        quote(raw),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        repr(raw)[2:-1],
    )
