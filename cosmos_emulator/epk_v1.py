"""Effective partition keys of containers with the first version of hashing.

The key begins with a MurmurHash3 x86 32 of the value, a text's first hundred characters, written as a
number that sorts as hex digits; the value itself follows, cut off at a hundred bytes. Texts that begin
with the same hundred characters are therefore one key, in the service as well.
Source: the partition key hashing of the Cosmos DB SDKs, and the baselines of the .NET SDK's own tests.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import mmh3

from cosmos_emulator.epk import MAXIMUM, MINIMUM, Component, Undefined

_HASHES = 1 << 32
_LONGEST = 100  # characters that are hashed, and bytes that are written
_SIGN = 1 << 63
_WORD = (1 << 64) - 1
_UNDEFINED, _NULL, _FALSE, _TRUE, _NUMBER, _STRING = b"\x00", b"\x01", b"\x02", b"\x03", b"\x05", b"\x08"  # fmt: skip


def effective_partition_key(components: Sequence[Component]) -> str:
    """Returns the hash and the values in hex digits; no component gives the minimum."""
    if not components:
        return MINIMUM
    cut = [each[:_LONGEST] if isinstance(each, str) else each for each in components]
    digest = mmh3.hash(b"".join(map(_hashed, cut)), 0, signed=False)
    return (_number(digest) + b"".join(map(_written, cut))).hex().upper()


def even_boundaries(count: int) -> list[tuple[str, str]]:
    """Tiles the space with `count` ranges of as many hashes, lowest first."""
    cuts = [_boundary(index * _HASHES // count) for index in range(1, count)]
    return list(zip([MINIMUM, *cuts], [*cuts, MAXIMUM], strict=True))


def midpoint(minimum: str, maximum: str) -> str | None:
    """Returns the middle of a range, or None when it is too narrow to be split."""
    low, high = _hash_at(minimum), _hash_at(maximum)
    middle = (low + high) // 2
    return _boundary(middle) if low < middle < high else None


def _hashed(component: Component) -> bytes:
    match component:
        case str():
            return _STRING + component.encode("utf-8", "surrogatepass") + b"\x00"
        case int() | float() if not isinstance(component, bool):
            return _NUMBER + struct.pack("<d", float(component))
        case _:
            return _single(component)


def _written(component: Component) -> bytes:
    match component:
        case str():
            text = component.encode("utf-8", "surrogatepass")
            end = b"\x00" if len(text) <= _LONGEST else b""
            return _STRING + bytes(byte + 1 for byte in text[: _LONGEST + 1]) + end
        case int() | float() if not isinstance(component, bool):
            return _number(component)
        case _:
            return _single(component)


def _single(component: Component) -> bytes:
    match component:
        case Undefined():
            return _UNDEFINED
        case None:
            return _NULL
        case _:
            return _TRUE if component else _FALSE


def _number(value: float) -> bytes:
    """A double that sorts by its bytes: eight bits, then seven in each byte whose last bit says "more"."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", float(value)))
    rest = bits ^ _SIGN if bits < _SIGN else -bits & _WORD
    written = bytearray(_NUMBER + bytes([rest >> 56]))
    rest = rest << 8 & _WORD
    while True:
        written.append(rest >> 56 & 0xFE)
        rest = rest << 7 & _WORD
        if not rest:
            return bytes(written)
        written[-1] |= 1


def _boundary(digest: int) -> str:
    return _number(digest).hex().upper()


def _hash_at(key: str) -> int:
    """The lowest hash at or after a boundary, which is the way back from its number."""
    if key in {MINIMUM, MAXIMUM}:
        return 0 if key == MINIMUM else _HASHES
    low, high = 0, _HASHES
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if _boundary(middle) < key else (low, middle)
    return low
