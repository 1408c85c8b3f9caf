"""Which documents of the container are meant: all, or those that a filter takes.

A document that the filter does not take is no row and nothing for the quarantine; where it has the
key of a row it says that there is none (see `project`), so that a line which becomes something else
leaves the copy. Whatever cannot be decoded is taken: it is for the rules to say what is wrong with
it. The filter is part of what the copy is a copy of; `text` is how the target remembers it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from msgspec import UNSET, Raw, UnsetType

_NULL = Raw(b"null")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A filter; without `where` and `fields` everything is taken.

    Attributes:
        where: a top-level field and the values that it may have, as text.
        fields: top-level fields that a document must have, not null.
    """

    where: tuple[str, frozenset[str]] | None = None
    fields: tuple[str, ...] = ()
    _read: Callable[[bytes], Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the decoder, which reads no other fields than these."""
        places = {name: f"field_{number}" for number, name in enumerate(self._names)}
        picked = msgspec.defstruct(
            "Picked",
            [(place, Raw | UnsetType, UNSET) for place in places.values()],
            rename={place: name for name, place in places.items()},
        )
        object.__setattr__(self, "_read", msgspec.json.Decoder(picked).decode)

    @property
    def _names(self) -> Sequence[str]:
        """The fields to look at, each once; that of `where` first."""
        return tuple(dict.fromkeys((*(self.where or ())[:1], *self.fields)))

    @classmethod
    def parse(cls, where: str | None, fields: str | None) -> Self:
        """Read `type=line,cartLine` and `item,quantity`.

        Raises:
            ValueError: It cannot be meant like that.
        """
        needed = _listed(fields or "")
        if where is None:
            return cls(fields=needed)
        name, _, values = where.partition("=")
        allowed = frozenset(_listed(values))
        if not name.strip() or not allowed:
            raise ValueError("give a field and the values it may have, such as type=line,cartLine")
        return cls(where=(name.strip(), allowed), fields=needed)

    @property
    def everything(self) -> bool:
        """Whether there is no filter."""
        return self.where is None and not self.fields

    @property
    def text(self) -> str:
        """The filter as it follows the name of a projection; the same for the same filter."""
        told = ""
        if self.where is not None:
            values = " or ".join(json.dumps(value) for value in sorted(self.where[1]))
            told += f" where {self.where[0]} = {values}"
        if self.fields:
            told += f" with {', '.join(sorted(self.fields))}"
        return told

    def takes(self, raw: bytes) -> bool:
        """Whether this document is meant; True for one that does not decode."""
        try:
            found = msgspec.structs.astuple(self._read(raw))
            if any(value is UNSET or value == _NULL for value in found):
                return False
            return self.where is None or _text_of(found[0]) in self.where[1]
        except (msgspec.DecodeError, UnicodeDecodeError):
            return True


EVERYTHING = Selection()


def _text_of(value: Raw) -> str:
    """A text as it is, anything else as its JSON."""
    decoded = msgspec.json.decode(value)
    return decoded if isinstance(decoded, str) else bytes(value).decode()


def _listed(text: str) -> tuple[str, ...]:
    """The parts between commas, each once, in their order."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
