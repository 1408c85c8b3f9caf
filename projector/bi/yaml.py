"""Plain values as YAML that people read: no anchors, no folding, a text in quotes unless it is a word.

A text in quotes is written as JSON, but for letters that JSON escapes as pairs and YAML does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

Value = str | int | bool | None | Sequence["Value"] | Mapping[str, "Value"]

WORD = re.compile(r"[A-Za-z_]\w*")
NO_TEXT = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""Words that YAML takes for something else."""


def yaml_text(value: Mapping[str, Value]) -> str:
    """The document, with a newline at its end."""
    return "".join(f"{line}\n" for line in _of_mapping(value))


def _of_mapping(value: Mapping[str, Value]) -> Iterator[str]:
    for name, each in value.items():
        yield from _after(f"{_scalar(name)}:", each)


def _of_sequence(value: Sequence[Value]) -> Iterator[str]:
    for each in value:
        if isinstance(each, Mapping) and each:
            first, *rest = _of_mapping(each)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
        else:
            yield from _after("-", each)


def _after(lead: str, value: Value) -> Iterator[str]:
    """A value below its name or dash, or beside it where it is short."""
    if isinstance(value, str) or not isinstance(value, Sequence | Mapping):
        yield f"{lead} {_scalar(value)}"
    elif not value:
        yield f"{lead} {'{}' if isinstance(value, Mapping) else '[]'}"
    else:
        inner = _of_mapping(value) if isinstance(value, Mapping) else _of_sequence(value)
        yield lead
        yield from (f"  {line}" for line in inner)


def _scalar(value: str | int | bool | None) -> str:  # noqa: FBT001 - one of the values
    if isinstance(value, str) and WORD.fullmatch(value) and value.lower() not in NO_TEXT:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in quoted)
