from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.core.ranges import FULL_RANGE, FeedRange, share, uncovered

KEYS = ["", "05", "10", "1F", "20", "30", "3F", "FF"]


def feed_range(low: str, high: str) -> FeedRange:
    return FeedRange(min=low, max=high)


RANGES = (
    st.lists(st.sampled_from(KEYS), min_size=2, max_size=2, unique=True)
    .map(sorted)
    .map(lambda bounds: feed_range(*bounds))
)


@pytest.mark.parametrize("bounds", [("10", "10"), ("20", "10"), ("", ""), ("FF", "")])
def test_a_range_without_keys_is_refused(bounds: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="empty"):
        feed_range(*bounds)


def test_lower_bound_belongs_to_the_range_and_upper_does_not() -> None:
    found = feed_range("10", "20")

    assert [key for key in KEYS if found.contains(key)] == ["10", "1F"]
    assert str(found) == "10-20"


def test_neighbours_do_not_overlap() -> None:
    assert not feed_range("", "10").overlaps(feed_range("10", "FF"))
    assert feed_range("", "20").overlaps(feed_range("10", "FF"))


@given(RANGES, RANGES)
def test_overlap_cover_and_clip_say_what_their_keys_say(one: FeedRange, other: FeedRange) -> None:
    keys = {key for key in KEYS if one.contains(key)}
    others = {key for key in KEYS if other.contains(key)}

    assert one.overlaps(other) is other.overlaps(one) is bool(keys & others)
    assert one.covers(other) is (others <= keys)
    if one.overlaps(other):
        clipped = one.clip(other)
        assert {key for key in KEYS if clipped.contains(key)} == keys & others
    else:
        with pytest.raises(ValueError, match="empty"):
            one.clip(other)


@given(RANGES, st.lists(RANGES))
def test_gaps_and_parts_together_are_the_whole(whole: FeedRange, parts: list[FeedRange]) -> None:
    gaps = uncovered(whole, parts)

    for key in KEYS[:-1]:
        in_parts = any(part.contains(key) for part in parts)
        assert sum(gap.contains(key) for gap in gaps) == (whole.contains(key) and not in_parts)
    assert list(gaps) == sorted(gaps)


def test_full_range_without_parts_is_one_gap() -> None:
    assert uncovered(FULL_RANGE, []) == [FULL_RANGE]
    assert uncovered(FULL_RANGE, [FULL_RANGE]) == []
    assert uncovered(FULL_RANGE, [feed_range("10", "20")]) == [
        feed_range("", "10"),
        feed_range("20", "FF"),
    ]


def test_parts_outside_the_whole_do_not_count() -> None:
    whole = feed_range("10", "20")

    assert uncovered(whole, [feed_range("", "05"), feed_range("30", "FF")]) == [whole]


QUARTER = 1 << 124


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        pytest.param(FULL_RANGE, "0-100%", id="all"),
        pytest.param(FeedRange(min="", max=f"{QUARTER:032X}"), "0-25%", id="first"),
        pytest.param(FeedRange(min=f"{3 * QUARTER:032X}", max="FF"), "75-100%", id="last"),
        pytest.param(
            FeedRange(min=f"{QUARTER // 2:032X}", max=f"{QUARTER:032X}"), "12.5-25%", id="odd"
        ),
        pytest.param(
            FeedRange(min=f"{QUARTER:032X}", max=f"{QUARTER + QUARTER // 10_000:032X}"),
            "25-25.003%",
            id="narrow",
        ),
        pytest.param(FeedRange(min="", max="05C1A5D2F0E1B3C4D5"), "0-8.99%", id="fewer digits"),
        pytest.param(FeedRange(min="7F00000000AB", max="FF"), "7F000000...-FF", id="another hash"),
    ],
)
def test_a_range_is_shown_as_its_share_of_the_keys(keys: FeedRange, shown: str) -> None:
    assert share(keys) == shown
