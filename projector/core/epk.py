"""Effective partition keys: where in the container's hash space a partition key lies.

Hash version 2: each component is encoded with a type byte and hashed with MurmurHash3 x64 128,
seed 0; the 16 bytes are reversed and the two top bits cleared. Hierarchical keys are the hashes of
their components, one after the other. Nothing is normalised but integers, which become doubles:
`1` and `1.0` are one key, `0` and `-0.0` are two, `true` is not `1`.
Source: `PartitionKey._get_effective_partition_key_string` of azure-cosmos; version 1 hashes
(containers created before 2018) are not covered.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Final

import mmh3
import msgspec

ROUTING_BITS = 64
_HEX_OF_ROUTING = ROUTING_BITS // 4
_TOP_OF_HASH = (1 << 62) - 1
_HIGHEST_BIGINT = (1 << 63) - 1


class Undefined(Enum):
    """The one value that stands for a partition key the document does not have."""

    UNDEFINED = "{}"


UNDEFINED: Final = Undefined.UNDEFINED


PartitionKeyValue = str | float | bool | None | Undefined
"""One component of a partition key; an int is a number like any other."""


def effective_partition_key(value: PartitionKeyValue) -> str:
    """Hash one partition key to 32 upper-case hexadecimal digits.

    Raises:
        OverflowError: the number is an integer beyond the range of a double.
        UnicodeEncodeError: the text holds a lone surrogate.
    """
    low, high = _hash(_encode(value))
    return f"{high:016X}{low:016X}"


def epk_of_json(text: str) -> str:
    """Hash a partition key given as JSON text; `{}` is the undefined one.

    Raises:
        ValueError: the text is not a JSON scalar, or a number beyond a double.
    """
    if text == UNDEFINED.value:
        return effective_partition_key(UNDEFINED)
    try:
        value = msgspec.json.decode(text, type=str | float | bool | None)
        return effective_partition_key(value)
    except (msgspec.DecodeError, OverflowError) as error:
        raise ValueError(f"{text[:80]!r} is no partition key in JSON: {error}") from error


def routing_key(epk: str) -> int:
    """The top 64 bits of a key or of a range's bound, as the rows store them.

    Keys are below 2**62; a bound above all of them ("FF") is cut to the highest bigint. Two keys
    that differ only below the top 64 bits get one number.
    """
    top = int(epk[:_HEX_OF_ROUTING].ljust(_HEX_OF_ROUTING, "0"), 16)
    return min(top, _HIGHEST_BIGINT)


def routing_key_of_text(value: bytes) -> int:
    """`routing_key(effective_partition_key(text))` of UTF-8 bytes: the hot path of a page."""
    hashed: int = mmh3.hash64(b"\x08%b\xff" % value, signed=False)[1]
    return hashed & _TOP_OF_HASH


def _hash(encoded: bytes) -> tuple[int, int]:
    low, high = mmh3.hash64(encoded, signed=False)
    return low, high & _TOP_OF_HASH


def _encode(value: PartitionKeyValue) -> bytes:
    if isinstance(value, str):
        return b"\x08%b\xff" % value.encode()
    if value is None:
        return b"\x01"
    if isinstance(value, bool):
        return b"\x03" if value else b"\x02"
    if isinstance(value, Undefined):
        return b"\x00"
    return b"\x05" + struct.pack("<d", float(value))
