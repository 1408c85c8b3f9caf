from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.core.epk import (
    UNDEFINED,
    PartitionKeyValue,
    effective_partition_key,
    epk_of_json,
    routing_key,
    routing_key_of_text,
)
from projector.core.ranges import FULL_RANGE

# Computed with azure-cosmos 4.17.1.
VECTORS: list[tuple[PartitionKeyValue, str, str]] = [
    ("", '""', "32E9366E637A71B4E710384B2F4970A0"),
    ("a", '"a"', "3A5381E1114EB8D3FCC90795045B49B7"),
    ("cart-1", '"cart-1"', "1AB4811F0D75872D488ABBA98D15DF76"),
    ("Unisex Socks", '"Unisex Socks"', "3C2E4068326607497E8FB5B3CB7A970E"),
    ("redmond", '"redmond"', "22E342F38A486A088463DFF7838A5963"),
    ("partitionKey", '"partitionKey"', "013AEFCF77FA271571CF665A58C933F1"),
    ("héllo ☃", '"h\\u00e9llo ☃"', "2F6D723E5B8A69777583E09813369AF7"),
    ("x" * 100, f'"{"x" * 100}"', "3F35F33CA8F8DA98DB46E18CDC66A245"),
    ("x" * 1000, f'"{"x" * 1000}"', "35960E897789CB5ED2A732009FF3B647"),
    (
        "5d7f0c1e-8c5e-4a9b-9b54-0f0d6b2a3c11",
        '"5d7f0c1e-8c5e-4a9b-9b54-0f0d6b2a3c11"',
        "0FE4326F82BE7B259FD3F0653E646388",
    ),
    (0, "0", "155B95BEDAC4B1E9EC1CDC9BB0DDDE58"),
    (-0.0, "-0.0", "3D018BB1DF3DB27235766E81FD10406E"),
    (1, "1", "20CD98B339BA78A5D0CF6953B87070B0"),
    (1.0, "1.0", "20CD98B339BA78A5D0CF6953B87070B0"),
    (-1, "-1", "19938E7A936C1C5B9E3AE842BBC16839"),
    (1.5, "15e-1", "35C5DDEB6C795D16A9963C73C54E97BC"),
    (42, "42", "08E6D561F6FD951DCC25E7E4EA2884B5"),
    (1000, "1e3", "046190158EE7681797E06AC3D1EAD06B"),
    (99999, "99999", "24C55663941A133B5C1A3EE204B27B91"),
    (2**53, "9007199254740992", "15335910D01122E3D99DA5DE569B065D"),
    (1e300, "1e300", "1234CB21048B20039B22F11DBB13CD7B"),
    (True, "true", "0E711127C5B5A8E4726AC6DD306A3E59"),
    (False, "false", "2FE1BE91E90A3439635E0E9E37361EF2"),
    (None, "null", "378867E4430E67857ACE5C908374FE16"),
    (UNDEFINED, "{}", "11622DAA78F835834610ABE56EFF5CB5"),
]


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [pytest.param(*v, id=v[1][:40].encode("unicode_escape").decode()) for v in VECTORS],
)
def test_keys_lie_where_the_service_puts_them(
    value: PartitionKeyValue, text: str, expected: str
) -> None:
    assert effective_partition_key(value) == expected
    assert epk_of_json(text) == expected


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_fast_path_for_text_agrees(value: str) -> None:
    epk = effective_partition_key(value)

    assert routing_key_of_text(value.encode()) == routing_key(epk) == int(epk[:16], 16)
    assert FULL_RANGE.contains(epk)
    assert 0 <= routing_key(epk) < 1 << 62


@given(st.one_of(st.text(alphabet="ab"), st.floats(), st.booleans(), st.none(), st.integers(-9, 9)))
def test_every_key_has_32_digits_below_the_middle_of_the_space(value: PartitionKeyValue) -> None:
    epk = effective_partition_key(value)

    assert len(epk) == 32
    assert epk == epk.upper()
    assert epk[0] in "0123"


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        pytest.param("", 0, id="lowest bound"),
        pytest.param("20", 0x2000000000000000, id="short bound"),
        pytest.param("1FFFFFFFFFFFFFFF", 0x1FFFFFFFFFFFFFFF, id="16 digits"),
        pytest.param("1FFFFFFFFFFFFFFF" + "F" * 16, 0x1FFFFFFFFFFFFFFF, id="32 digits"),
        pytest.param("FF", 2**63 - 1, id="highest bound"),
    ],
)
def test_bounds_have_a_number_too(bound: str, expected: int) -> None:
    assert routing_key(bound) == expected


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '"\\ud800"', "1e400", "NaN", '{"a":1}', "1" * 400]
)
def test_what_is_no_scalar_is_no_partition_key(text: str) -> None:
    with pytest.raises(ValueError, match="no partition key"):
        epk_of_json(text)


def test_numbers_and_texts_beyond_the_encoding_are_refused() -> None:
    with pytest.raises(OverflowError):
        effective_partition_key(10**400)
    with pytest.raises(UnicodeEncodeError):
        effective_partition_key("\ud800")
