from __future__ import annotations

import pytest

from projector.core.pacing import Pace


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
