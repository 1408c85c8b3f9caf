"""The first version of partition key hashing, against values that other clients were tested with.

Source: the hashing tests of azure-cosmos for Java (PartitionKeyHashingTests) and JavaScript
(hashV1PartitionKey), and the functions of azure-cosmos for Python.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from azure.cosmos.partition_key import PartitionKey
from hypothesis import given
from hypothesis import strategies as st

from cosmos_emulator.epk import UNDEFINED
from cosmos_emulator.epk_v1 import effective_partition_key, even_boundaries, midpoint

_LONG = "05C1EB5921F70608" + "62" * 100 + "00"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "05C1CF33970FF80800"),
        ("partitionKey", "05C1E1B3D9CD2608716273756A756A706F4C667A00"),
        ("redmond", "05C1EFE313830C087366656E706F6500"),
        ("aa", "05C1C7B7270FE008626200"),
        ("a" * 110, _LONG),
        ("a" * 1024, _LONG),
        (None, "05C1ED45D7475601"),
        (True, "05C1D7C5A903D803"),
        (False, "05C1DB857D857C02"),
        (UNDEFINED, "05C1D529E345DC00"),
        (5, "05C1D9C1C5517C05C014"),
        (5.5, "05C1D7A771716C05C016"),
        (12313.1221, "05C1ED154D592E05C0C90723F50FC925D8"),
        (123456789, "05C1D9E1A5311C05C19DB7CD8B40"),
        (-128, "05C1D73349F54C053FA0"),
        (127, "05C1DD539DDFCC05C05FE0"),
        (-(2**63), "05C1DB35F33D1C053C20"),
        (2**63 - 1, "05C1B799AB2DD005C3E0"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_value_hashes_as_the_service_hashes_it(value: Any, expected: str) -> None:
    assert effective_partition_key([value]) == expected


@given(value=st.text(max_size=120) | st.floats(allow_nan=False) | st.booleans())
def test_it_agrees_with_the_client(value: Any) -> None:
    theirs = PartitionKey._get_effective_partition_key_for_hash_partitioning([value])
    assert effective_partition_key([value]) == theirs.upper()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 50])
def test_even_boundaries_tile_the_space(count: int) -> None:
    ranges = even_boundaries(count)
    assert (ranges[0][0], ranges[-1][1], len(ranges)) == ("", "FF", count)
    assert all(left[1] == right[0] for left, right in pairwise(ranges))
    assert all(low < high for low, high in ranges)
    names = [effective_partition_key([f"key {n}"]) for n in range(count * 40)]
    held = [sum(low <= name < high for name in names) for low, high in ranges]
    assert min(held) > 10


def test_a_range_is_split_in_the_middle_until_it_is_too_narrow() -> None:
    assert midpoint("", "FF") == even_boundaries(2)[0][1]
    assert [midpoint(*each) for each in even_boundaries(2)] == [
        even_boundaries(4)[0][1],
        even_boundaries(4)[2][1],
    ]
    low, high = even_boundaries(2**20)[7]
    splits = 0
    while (middle := midpoint(low, high)) is not None:
        assert low < middle < high
        low, splits = middle, splits + 1
    assert splits == 12
