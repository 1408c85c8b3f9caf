from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.core.errors import ConfigurationError
from projector.core.names import Continuation
from projector.core.start import (
    BEGINNING,
    NOW,
    Bookmark,
    Position,
    StartFrom,
    StartKind,
    StartOver,
    StartReason,
    check_not_ahead,
    decide_start,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def place(lsn: int | None) -> Continuation:
    return Continuation(f'"{lsn}"')


def bookmark(lsn: int | None, *, anchored_from: str | None = None) -> Bookmark:
    return Bookmark(continuation=place(lsn), lsn=lsn, anchored_from=anchored_from)


def stored(lsn: int | None) -> Position:
    return Position(continuation=place(lsn), lsn=lsn)


def resume(lsn: int | None) -> Position:
    return Position(continuation=place(lsn), lsn=lsn)


START_OF_FEED = Position(continuation=None, lsn=None)


@pytest.mark.parametrize(
    ("mark", "kept", "expected"),
    [
        pytest.param(bookmark(5), stored(9), resume(5), id="bookmark is lower"),
        pytest.param(bookmark(9), stored(5), resume(5), id="target is lower"),
        pytest.param(bookmark(5), stored(5), resume(5), id="equal"),
        pytest.param(bookmark(None), stored(5), resume(5), id="bookmark cannot be placed"),
        pytest.param(bookmark(5), stored(None), resume(None), id="target cannot be placed"),
        pytest.param(
            bookmark(5),
            START_OF_FEED,
            Position(continuation=None, lsn=None),
            id="target at the start",
        ),
        pytest.param(
            bookmark(5), None, StartOver(reason=StartReason.NO_STORED_POSITION), id="no target"
        ),
        pytest.param(None, stored(5), StartOver(reason=StartReason.NO_BOOKMARK), id="no bookmark"),
        pytest.param(None, None, StartOver(reason=StartReason.NO_BOOKMARK), id="nothing"),
        pytest.param(
            bookmark(5, anchored_from="beginning"),
            stored(9),
            resume(5),
            id="anchored from the same",
        ),
        pytest.param(
            bookmark(5, anchored_from="now"),
            stored(9),
            StartOver(reason=StartReason.START_FROM_CHANGED),
            id="anchored from another",
        ),
    ],
)
def test_range_starts_at_the_lower_of_bookmark_and_target(
    mark: Bookmark | None, kept: Position | None, expected: Position | StartOver
) -> None:
    assert (
        decide_start(
            bookmark=mark,
            stored=kept,
            replay_requested=False,
            target_keeps_positions=True,
            start_from=BEGINNING,
        )
        == expected
    )


@given(
    st.none() | st.builds(bookmark, st.none() | st.integers(0, 9)),
    st.none() | st.builds(stored, st.none() | st.integers(0, 9)),
    st.booleans(),
)
def test_requested_replay_outranks_every_place(
    mark: Bookmark | None, kept: Position | None, keeps: bool
) -> None:
    assert decide_start(
        bookmark=mark,
        stored=kept,
        replay_requested=True,
        target_keeps_positions=keeps,
        start_from=BEGINNING,
    ) == StartOver(reason=StartReason.REPLAY_REQUESTED)


@given(st.none() | st.builds(stored, st.none() | st.integers(0, 9)))
def test_bookmark_alone_decides_for_targets_without_positions(kept: Position | None) -> None:
    assert decide_start(
        bookmark=bookmark(7),
        stored=kept,
        replay_requested=False,
        target_keeps_positions=False,
        start_from=NOW,
    ) == resume(7)


@given(st.integers(0, 9), st.integers(0, 9))
def test_no_change_between_the_places_is_skipped(mark: int, kept: int) -> None:
    decided = decide_start(
        bookmark=bookmark(mark),
        stored=stored(kept),
        replay_requested=False,
        target_keeps_positions=True,
        start_from=BEGINNING,
    )

    assert decided == resume(min(mark, kept))


def test_start_positions_have_a_text_to_compare() -> None:
    assert [str(BEGINNING), str(NOW)] == ["beginning", "now"]
    assert str(StartFrom(kind=StartKind.TIME, time=NOON)) == "2026-01-31T12:00:00+00:00"


@pytest.mark.parametrize(
    ("kind", "time"),
    [
        pytest.param(StartKind.TIME, None, id="no time"),
        pytest.param(StartKind.NOW, NOON, id="time beside now"),
        pytest.param(StartKind.TIME, NOON.replace(tzinfo=None), id="no zone"),
    ],
)
def test_contradictory_start_positions_are_refused(kind: StartKind, time: datetime | None) -> None:
    with pytest.raises(ValueError, match="time"):
        StartFrom(kind=kind, time=time)


def test_any_zone_is_a_zone() -> None:
    zone = timezone(timedelta(hours=5))

    assert StartFrom(kind=StartKind.TIME, time=NOON.astimezone(zone)).time == NOON


@pytest.mark.parametrize(
    ("start", "refused"),
    [
        pytest.param(BEGINNING, False, id="beginning"),
        pytest.param(NOW, False, id="now"),
        pytest.param(StartFrom(kind=StartKind.TIME, time=NOON), False, id="this moment"),
        pytest.param(
            StartFrom(kind=StartKind.TIME, time=NOON + timedelta(minutes=5)), False, id="skew"
        ),
        pytest.param(
            StartFrom(kind=StartKind.TIME, time=NOON + timedelta(minutes=6)), True, id="ahead"
        ),
    ],
)
def test_start_in_the_future_is_refused(start: StartFrom, refused: bool) -> None:
    with (
        pytest.raises(ConfigurationError, match="lies in the future") if refused else nullcontext()
    ):
        check_not_ahead(start, now=NOON)
