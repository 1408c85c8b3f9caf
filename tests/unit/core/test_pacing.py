from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from projector.core.errors import LeaseStoreUnavailable, SourceUnavailable, Throttled
from projector.core.pacing import Pace, backoff_seconds, next_poll_seconds, page_size, retry_seconds


def test_idle_polls_grow_to_the_maximum() -> None:
    waits: list[float] = []
    previous = None
    for _ in range(7):
        previous = next_poll_seconds(previous, minimum_seconds=0.05, maximum_seconds=1.0)
        waits.append(previous)
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_equal_bounds_poll_evenly() -> None:
    assert next_poll_seconds(None, minimum_seconds=5, maximum_seconds=5) == 5
    assert next_poll_seconds(5, minimum_seconds=5, maximum_seconds=5) == 5


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_backoff_grows_up_to_the_cap(draw: float) -> None:
    waits = [backoff_seconds(n, draw=draw, base_seconds=0.1, cap_seconds=15) for n in range(1, 40)]
    assert all(a <= b for a, b in itertools.pairwise(waits))
    assert 0.05 <= waits[0] <= 0.1
    assert 7.5 <= waits[-1] <= 15


@pytest.mark.parametrize("told", [0.0, 0.001])
@pytest.mark.parametrize(
    "error_of",
    [
        pytest.param(lambda told: Throttled(retry_after_seconds=told), id="source"),
        pytest.param(
            lambda told: LeaseStoreUnavailable("throttled", retry_after_seconds=told), id="leases"
        ),
    ],
)
def test_wait_that_is_of_no_use_grows_all_the_same(
    told: float, error_of: Callable[[float], Exception]
) -> None:
    waits = [retry_seconds(error_of(told), n, draw=0.0) for n in range(1, 12)]
    assert waits == sorted(waits)
    assert waits[0] >= 0.05
    assert 2.5 <= waits[-1] <= 5


def test_wait_that_is_asked_for_is_kept_within_reason() -> None:
    assert retry_seconds(Throttled(retry_after_seconds=3.0), 1, draw=0.0) == 3.0
    assert retry_seconds(Throttled(retry_after_seconds=3.0), 30, draw=0.9) <= 5.0
    assert retry_seconds(Throttled(retry_after_seconds=1e9), 1, draw=0.0) == 600
    assert retry_seconds(SourceUnavailable("down"), 30, draw=0.0) == 7.5


def test_page_is_halved_to_one_document_and_doubles_back() -> None:
    size = page_size(10)
    sizes = [size.current]
    for _ in range(5):
        size = size.halved()
        sizes.append(size.current)
    assert sizes == [10, 5, 2, 1, 1, 1]
    for _ in range(5):
        size = size.recovered()
        sizes.append(size.current)
    assert sizes[6:] == [2, 4, 8, 10, 10]


def test_page_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        page_size(0)


def test_one_look_tells_no_pace() -> None:
    pace = Pace()
    assert pace.per_second is None
    pace.look(0, 10)
    assert pace.per_second is None
    assert pace.seconds_left(5) is None


def test_the_rest_takes_as_long_as_the_pace_of_late_says() -> None:
    pace = Pace(window_seconds=60)
    for second in range(0, 300, 10):
        pace.look(second, 100 * min(second, 200) + 10 * max(0, second - 200))
    assert pace.per_second == pytest.approx(10)
    assert pace.seconds_left(50) == pytest.approx(5)


def test_what_does_not_go_on_has_no_end() -> None:
    pace = Pace()
    for second, done in ((0, 10), (10, 10), (20, 5)):
        pace.look(second, done)
        assert pace.seconds_left(5) is None
