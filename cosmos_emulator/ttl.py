"""Time to live: what is a valid value, and when an item is gone.

A container without a default never expires anything; -1 switches expiry on without a default. An item
is gone from the second in which its time is up, whether or not it was physically removed yet.
Source: Cosmos DB documentation, time to live.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cosmos_emulator.errors import bad_request

NEVER = -1
_LONGEST_SECONDS = 2**31 - 1


def item_ttl(document: Mapping[str, Any]) -> int | None:
    """Returns the item's own time to live in seconds, -1 for never, None when it has none."""
    if "ttl" not in document:
        return None
    value = document["ttl"]
    if not is_valid(value):
        raise bad_request(
            f"The input ttl '{value}' is invalid. Ensure to provide a nonzero positive integer less "
            "than or equal to '2147483647', or -1 which means never expire."
        )
    return int(value)


def default_ttl(definition: Mapping[str, Any]) -> int | None:
    """Returns a container's default in seconds; None means that expiry is off."""
    value = definition.get("defaultTtl")
    if value is None:
        return None
    if not is_valid(value):
        raise bad_request(f"The default time to live '{value}' is invalid.")
    return int(value)


def is_valid(value: object) -> bool:
    """True for -1 and for a positive integer that fits 31 bits."""
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return value == NEVER or 1 <= value <= _LONGEST_SECONDS


def expires_at(written_at: int, own_ttl: int | None, default: int | None) -> float:
    """Returns the second from which the item is gone, infinity for never."""
    if default is None:
        return math.inf
    seconds = default if own_ttl is None else own_ttl
    return math.inf if seconds == NEVER else written_at + seconds
