from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_emulator.epk import (
    UNDEFINED,
    effective_partition_key,
    even_boundaries,
    midpoint,
)

_VECTORS = [
    ("", "32E9366E637A71B4E710384B2F4970A0"),
    ("a", "3A5381E1114EB8D3FCC90795045B49B7"),
    ("cart-1", "1AB4811F0D75872D488ABBA98D15DF76"),
    ("Unisex Socks", "3C2E4068326607497E8FB5B3CB7A970E"),
    ("redmond", "22E342F38A486A088463DFF7838A5963"),
    ("partitionKey", "013AEFCF77FA271571CF665A58C933F1"),
    ("héllo ☃", "2F6D723E5B8A69777583E09813369AF7"),
    ("x" * 100, "3F35F33CA8F8DA98DB46E18CDC66A245"),
    ("x" * 1000, "35960E897789CB5ED2A732009FF3B647"),
    ("5d7f0c1e-8c5e-4a9b-9b54-0f0d6b2a3c11", "0FE4326F82BE7B259FD3F0653E646388"),
    (0, "155B95BEDAC4B1E9EC1CDC9BB0DDDE58"),
    (-0.0, "3D018BB1DF3DB27235766E81FD10406E"),
    (1, "20CD98B339BA78A5D0CF6953B87070B0"),
    (-1, "19938E7A936C1C5B9E3AE842BBC16839"),
    (1.5, "35C5DDEB6C795D16A9963C73C54E97BC"),
    (42, "08E6D561F6FD951DCC25E7E4EA2884B5"),
    (1000, "046190158EE7681797E06AC3D1EAD06B"),
    (99999, "24C55663941A133B5C1A3EE204B27B91"),
    (2**53, "15335910D01122E3D99DA5DE569B065D"),
    (1e300, "1234CB21048B20039B22F11DBB13CD7B"),
    (True, "0E711127C5B5A8E4726AC6DD306A3E59"),
    (False, "2FE1BE91E90A3439635E0E9E37361EF2"),
    (None, "378867E4430E67857ACE5C908374FE16"),
    (UNDEFINED, "11622DAA78F835834610ABE56EFF5CB5"),
]


@pytest.mark.parametrize(("value", "expected"), _VECTORS, ids=lambda value: repr(value)[:24])
def test_a_value_hashes_as_the_service_hashes_it(value: Any, expected: str) -> None:
    assert effective_partition_key([value]) == expected


def test_a_hierarchical_key_joins_the_hashes_of_its_components() -> None:
    expected = "3A5381E1114EB8D3FCC90795045B49B7" + "20CD98B339BA78A5D0CF6953B87070B0"
    assert effective_partition_key(["a", 1]) == expected


def test_no_component_is_the_beginning_of_the_space() -> None:
    assert effective_partition_key([]) == ""


def test_true_is_not_one_and_one_is_one_point_zero() -> None:
    assert effective_partition_key([True]) != effective_partition_key([1])
    assert effective_partition_key([1]) == effective_partition_key([1.0])


def test_four_partitions_have_the_service_boundaries() -> None:
    zeros = "0" * 31
    assert even_boundaries(4) == [
        ("", "1" + zeros),
        ("1" + zeros, "2" + zeros),
        ("2" + zeros, "3" + zeros),
        ("3" + zeros, "FF"),
    ]


@given(st.integers(min_value=1, max_value=64))
def test_boundaries_tile_the_whole_space(count: int) -> None:
    ranges = even_boundaries(count)
    assert len(ranges) == count
    assert (ranges[0][0], ranges[-1][1]) == ("", "FF")
    assert all(left[1] == right[0] for left, right in pairwise(ranges))
    assert all(minimum < maximum for minimum, maximum in ranges)


def test_the_whole_space_is_halved_in_the_middle_of_the_hashes() -> None:
    assert midpoint("", "FF") == "2" + "0" * 31


def test_a_range_of_one_key_has_no_middle() -> None:
    assert midpoint("1" + "0" * 31, "1" + "0" * 30 + "1") is None
