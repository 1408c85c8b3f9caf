"""Effective partition keys: where a partition key value lies in the hash space.

Version 2 hashing: each component is encoded, hashed with MurmurHash3 x64 128 and written as 32 upper
case hex digits below 4000...; hierarchical keys concatenate the hashes of their components. Keys are
compared as plain strings in the space from "" to "FF". Written apart from the client's own hashing
on purpose, so that each checks the other. Source: partition key hashing of the Cosmos DB SDKs.
"""

from __future__ import annotations

import enum
import functools
import struct
from collections.abc import Sequence

import mmh3

MINIMUM = ""
MAXIMUM = "FF"
_HASH_SPACE = 1 << 126
_HASH_DIGITS = 32


class Undefined(enum.Enum):
    """The value of a property that a document does not have."""

    UNDEFINED = "undefined"


UNDEFINED = Undefined.UNDEFINED
Component = str | float | int | bool | None | Undefined


def effective_partition_key(components: Sequence[Component]) -> str:
    """Returns 32 hex digits for each component; no component gives the minimum."""
    return "".join(_hash(_encode(component)) for component in components)


def even_boundaries(count: int) -> list[tuple[str, str]]:
    """Tiles the space with `count` ranges of the same size, lowest first."""
    cuts = [_digits((index << 62) // count << 64) for index in range(1, count)]
    return list(zip([MINIMUM, *cuts], [*cuts, MAXIMUM], strict=True))


def midpoint(minimum: str, maximum: str) -> str | None:
    """Returns the middle of a range, or None when it is too narrow to be split."""
    low, high = _number(minimum), _number(maximum)
    middle = (low + high) // 2
    return _digits(middle) if low < middle < high else None


def _encode(component: Component) -> bytes:
    match component:
        case Undefined():
            return b"\x00"
        case None:
            return b"\x01"
        case bool():
            return b"\x03" if component else b"\x02"
        case str():
            return b"\x08" + component.encode("utf-8", "surrogatepass") + b"\xff"
        case _:
            return b"\x05" + struct.pack("<d", float(component))


@functools.lru_cache(maxsize=65536)
def _hash(encoded: bytes) -> str:
    digest = mmh3.mmh3_x64_128_digest(encoded, 0)[::-1]
    return (bytes((digest[0] & 0x3F,)) + digest[1:]).hex().upper()


def _number(key: str) -> int:
    if key == MAXIMUM:
        return _HASH_SPACE
    return int(key[:_HASH_DIGITS].ljust(_HASH_DIGITS, "0"), 16)


def _digits(number: int) -> str:
    return f"{number:0{_HASH_DIGITS}X}"
