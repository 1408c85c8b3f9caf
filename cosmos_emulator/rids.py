"""Resource ids: short base64 texts in which the parent's id is a prefix of the child's.

A database has 4 bytes, a container 8, an item 16; `/` is written `-`.
Source: `ResourceId` of the .NET SDK.
"""

from __future__ import annotations

import base64
import random

ITEM_BYTES = 16


def random_bytes(rng: random.Random) -> bytes:
    """Four random bytes: a database, or a container below its database."""
    return (rng.getrandbits(32) | 0x80000000).to_bytes(4, "big")


def rid_text(rid: bytes) -> str:
    """Writes the bytes the way the service does."""
    return base64.b64encode(rid, b"+-").decode("ascii")


def item_number(rid: str) -> int | None:
    """Which item of its container has this id; None for what is no item's id."""
    try:
        raw = base64.b64decode(rid, b"+-", validate=True)
    except ValueError:
        return None
    return int.from_bytes(raw[8:], "little") if len(raw) == ITEM_BYTES else None


def item_rid(container: bytes, number: int) -> str:
    """The id of the `number`th item of a container."""
    return base64.b64encode(container + number.to_bytes(8, "little"), b"+-").decode("ascii")
