"""A definition as JSON, so that a generation can say what it was built from, and back.

What has its default is left out: a definition that is the same is told the same by a later program, which
knows more that can be said. What this program does not know is refused, never passed over: its rows would
be made by other rules than they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from projector.projection.definition import Definition


def definition_to_json(definition: Definition) -> str:
    """The definition as one line, its fields in the order in which they are declared."""
    return json.dumps(_told(definition), ensure_ascii=False)


def definition_from_json(told: str | bytes | Mapping[str, Any]) -> Definition:
    """The definition that `definition_to_json` told.

    Raises:
        ValueError: One line says what this program cannot make of it.
    """
    read = msgspec.json.decode(told) if isinstance(told, str | bytes) else told
    try:
        definition = msgspec.convert(read, Definition)
    except msgspec.ValidationError as error:
        raise ValueError(f"the definition is one of another program: {error}") from error
    for name in _unknown(read, msgspec.to_builtins(definition), "definition"):
        raise ValueError(f"the definition is one of a newer program, which knows {name}")
    return definition


def definition_hash(definition: Definition) -> str:
    """Tells definitions apart at a glance: twelve letters of a hash of the whole."""
    return hashlib.sha256(definition_to_json(definition).encode()).hexdigest()[:12]


def _told(value: object) -> Any:
    if is_dataclass(value):
        return {
            one.name: _told(getattr(value, one.name))
            for one in fields(value)
            if getattr(value, one.name) != one.default
        }
    return [_told(one) for one in value] if isinstance(value, tuple) else value


def _unknown(read: Any, known: Any, place: str) -> Iterator[str]:
    """Where something was said that the definition does not hold."""
    if isinstance(read, Mapping) and isinstance(known, Mapping):
        yield from (f"{place}.{name}" for name in read if name not in known)
        for name, value in read.items():
            yield from _unknown(value, known.get(name), f"{place}.{name}")
    elif isinstance(read, list | tuple) and isinstance(known, list | tuple):
        for number, (one, other) in enumerate(zip(read, known, strict=False)):
            yield from _unknown(one, other, f"{place}[{number}]")
