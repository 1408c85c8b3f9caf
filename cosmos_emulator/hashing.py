"""The two versions of partition key hashing, as far as they differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cosmos_emulator import epk, epk_v1
from cosmos_emulator.epk import Component


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashing:
    """How keys lie in the space, and how the space is cut."""

    effective_partition_key: Callable[[Sequence[Component]], str]
    even_boundaries: Callable[[int], list[tuple[str, str]]]
    midpoint: Callable[[str, str], str | None]


HASHINGS: Final = {
    1: Hashing(
        effective_partition_key=epk_v1.effective_partition_key,
        even_boundaries=epk_v1.even_boundaries,
        midpoint=epk_v1.midpoint,
    ),
    2: Hashing(
        effective_partition_key=epk.effective_partition_key,
        even_boundaries=epk.even_boundaries,
        midpoint=epk.midpoint,
    ),
}
"""By the version that a container's definition names."""
