from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from projector.core.states import gap_after_position, lag_seconds

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("session", "lsn", "gap"),
    [
        pytest.param(10, 7, 3, id="behind"),
        pytest.param(10, 10, 0, id="even"),
        pytest.param(9, 10, 0, id="late replica"),
        pytest.param(None, 10, None, id="session unknown"),
        pytest.param(10, None, None, id="place unknown"),
    ],
)
def test_gap_after_a_place(session: int | None, lsn: int | None, gap: int | None) -> None:
    assert gap_after_position(session_lsn=session, lsn=lsn) == gap


@pytest.mark.parametrize(
    ("gap", "caught_up", "newest", "lag"),
    [
        pytest.param(0, None, None, 0.0, id="nothing unread"),
        pytest.param(None, 10, 10, None, id="gap unknown"),
        pytest.param(5, None, None, None, id="never caught up"),
        pytest.param(5, 30, None, 30.0, id="since it was caught up"),
        pytest.param(5, None, 40, 40.0, id="since the newest change"),
        pytest.param(5, 30, 40, 30.0, id="the later of the two"),
        pytest.param(5, -3, None, 0.0, id="clocks that disagree"),
    ],
)
def test_lag(gap: int | None, caught_up: int | None, newest: int | None, lag: float | None) -> None:
    def ago(seconds: int | None) -> datetime | None:
        return None if seconds is None else NOW - timedelta(seconds=seconds)

    assert (
        lag_seconds(now=NOW, gap=gap, caught_up_at=ago(caught_up), newest_time=ago(newest)) == lag
    )
