from __future__ import annotations

import pytest

from projector.core.ranges import FULL_RANGE, FeedRange, share

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
