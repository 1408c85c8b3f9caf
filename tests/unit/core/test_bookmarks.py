from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.core.bookmark_file import decode, encode
from projector.core.bookmarks import (
    SavedPosition,
    Snapshot,
    held,
    moves,
    positions_of,
    refuse_forward,
)
from projector.core.errors import ConfigurationError
from projector.core.names import Continuation, LeaseToken, SourceName
from projector.core.ranges import FULL_RANGE, FeedRange, uncovered
from projector.core.start import Position

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LEFT, RIGHT = FeedRange(min="", max="20"), FeedRange(min="20", max="FF")
LOW, HIGH = FeedRange(min="", max="10"), FeedRange(min="10", max="20")


@dataclass(frozen=True, kw_only=True)
class Range:
    """A stored range, as far as it matters here."""

    range_id: int
    feed_range: FeedRange
    opened_epoch: int
    position: Position | None
    position_time: datetime | None = NOON
    replay_since: datetime | None = None

    @property
    def lease_token(self) -> LeaseToken:
        return LeaseToken(str(self.range_id))


def at(lsn: int | None) -> Position:
    return Position(continuation=Continuation(f'"{lsn}"'), lsn=lsn)


def stored(number: int, keys: FeedRange, lsn: int, *, opened: int = 1) -> Range:
    return Range(range_id=number, feed_range=keys, opened_epoch=opened, position=at(lsn))


def one_at(keys: FeedRange, lsn: int) -> SavedPosition:
    return SavedPosition(feed_range=keys, continuation=Continuation(f'"{lsn}"'), lsn=lsn, time=NOON)


def saved(*positions: SavedPosition) -> Snapshot:
    return Snapshot(
        name="before",
        taken_at=NOON,
        container_rid="rid1",
        source=SourceName(account="a", database="d", container="c"),
        target_id="id",
        target_name="here",
        positions=positions,
    )


bounds = st.sampled_from(["", "05", "10", "15", "20", "30", "FF"])
ranges = st.lists(
    st.tuples(bounds, bounds, st.integers(1, 9))
    .filter(lambda drawn: drawn[0] < drawn[1])
    .map(
        lambda drawn: stored(
            drawn[2], FeedRange(min=drawn[0], max=drawn[1]), drawn[2], opened=drawn[2]
        )
    ),
    max_size=6,
)


@given(found=ranges)
def test_each_key_is_held_once_and_by_the_range_that_was_opened_last(found: list[Range]) -> None:
    holders = held(FULL_RANGE, found)
    parts = [part for _, own in holders for part in own]
    assert all(not one.overlaps(other) for i, one in enumerate(parts) for other in parts[:i])
    assert uncovered(FULL_RANGE, parts) == uncovered(FULL_RANGE, [f.feed_range for f in found])
    for one, own in holders:
        newer = [f for f in found if f.opened_epoch > one.opened_epoch]
        assert not any(f.feed_range.overlaps(part) for f in newer for part in own)


def test_the_keys_of_a_child_that_was_not_opened_stand_where_its_parent_stands() -> None:
    parent, child = stored(1, FULL_RANGE, 7), stored(2, LEFT, 9, opened=2)
    assert [(p.feed_range, p.lsn) for p in positions_of([parent, child])] == [(LEFT, 9), (RIGHT, 7)]


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([], "start a host first"),
        ([stored(1, LEFT, 7)], "nobody has opened the keys 20-FF"),
        (
            [Range(range_id=1, feed_range=FULL_RANGE, opened_epoch=1, position=None)],
            "range 1 has no position yet",
        ),
        (
            [
                Range(
                    range_id=1,
                    feed_range=FULL_RANGE,
                    opened_epoch=1,
                    position=Position(continuation=None, lsn=None),
                )
            ],
            "range 1 has no position yet",
        ),
        (
            [Range(range_id=1, feed_range=FULL_RANGE, opened_epoch=1, position=at(None))],
            "range 1 has no position yet",
        ),
    ],
    ids=["nothing", "a gap", "a replay asked for", "the start of the feed", "no number"],
)
def test_what_has_no_place_is_not_saved(found: list[Range], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        positions_of(found)


def test_a_replay_that_was_asked_for_at_that_moment_may_be_ended_and_no_other() -> None:
    """All that lies before the position was in the rows by then."""
    before, later = saved(one_at(FULL_RANGE, 7)), NOON + timedelta(seconds=1)
    for position in (None, at(3), at(9)):
        one = Range(range_id=1, feed_range=FULL_RANGE, opened_epoch=1, position=position)
        found = moves([replace(one, replay_since=NOON)], before)
        refuse_forward(found)
        assert [move.undoes for move in found] == [True]
        [other] = moves([replace(one, replay_since=later)], before)
        assert (other.undoes, other.obstacle is None) == (False, position == at(9))


def test_ranges_of_today_are_cut_from_those_that_were_saved() -> None:
    """A split since: each child takes its parent's position. A merge since: the lowest is good for all."""
    before = saved(one_at(LEFT, 5), one_at(RIGHT, 50))
    split = moves([stored(3, LOW, 90), stored(4, HIGH, 91), stored(5, RIGHT, 92)], before)
    assert {move.range_id: move.position.lsn for move in split} == {3: 5, 4: 5, 5: 50}
    merged = moves([stored(6, FULL_RANGE, 99)], before)
    assert [(move.position.lsn, move.position.continuation) for move in merged] == [(5, '"5"')]


def test_one_lease_alone_moves_the_stored_range_that_holds_its_keys() -> None:
    before = saved(one_at(LEFT, 5), one_at(RIGHT, 50))
    found = [stored(1, FULL_RANGE, 60), stored(2, LOW, 70, opened=2)]
    assert [m.range_id for m in moves(found, before, [RIGHT])] == [1]
    assert [m.position.lsn for m in moves(found, before, [RIGHT])] == [50]
    assert [m.range_id for m in moves(found, before, [LOW])] == [2]


def test_going_to_where_it_stands_is_going_back() -> None:
    refuse_forward(moves([stored(1, FULL_RANGE, 5)], saved(one_at(FULL_RANGE, 5))))


@pytest.mark.parametrize(
    ("position", "says"),
    [
        (at(4), "range 1 has come to LSN 4, which is before 5"),
        (None, "range 1 is to be read from its start position and has not begun"),
        (Position(continuation=None, lsn=None), "has only begun"),
        (at(None), "cannot be compared"),
    ],
    ids=["behind", "a replay asked for", "at the start of the feed", "no number"],
)
def test_nothing_goes_forward(position: Position | None, says: str) -> None:
    one = Range(range_id=1, feed_range=LEFT, opened_epoch=1, position=position)
    found = moves([one, stored(2, RIGHT, 99)], saved(one_at(LEFT, 5), one_at(RIGHT, 5)))
    with pytest.raises(ConfigurationError, match=says):
        refuse_forward(found)


def test_keys_that_were_not_saved_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="do not cover the keys 20-FF"):
        saved(one_at(LEFT, 5)).position_of(RIGHT)


def test_the_file_says_what_was_saved() -> None:
    before = saved(one_at(LEFT, 5), one_at(RIGHT, 50))
    assert decode(encode(before), where="file") == before
    assert json.loads(encode(before)) == {
        "format": "projector-bookmarks",
        "version": 1,
        "name": "before",
        "taken_at": "2026-01-31T12:00:00Z",
        "container": {
            "rid": "rid1",
            "name": {"account": "a", "database": "d", "container": "c"},
        },
        "target": {"id": "id", "name": "here"},
        "ranges": [
            {
                "min": "",
                "max": "20",
                "continuation": '"5"',
                "lsn": 5,
                "time": "2026-01-31T12:00:00Z",
            },
            {
                "min": "20",
                "max": "FF",
                "continuation": '"50"',
                "lsn": 50,
                "time": "2026-01-31T12:00:00Z",
            },
        ],
    }


def test_what_a_newer_minor_writer_adds_is_passed_over() -> None:
    document = {**json.loads(encode(saved(one_at(FULL_RANGE, 5)))), "comment": "by hand"}
    assert decode(json.dumps(document).encode(), where="file") == saved(one_at(FULL_RANGE, 5))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "'projector-bookmarks' of version 2"),
        ({"format": "leases"}, "'leases' of version 1"),
        ({"ranges": []}, "not one bookmark for each key"),
        ({"taken_at": "2026-01-31T12:00:00"}, "has no zone"),
        ({"container": {}}, "missing required field `rid`"),
    ],
    ids=["a newer version", "another format", "no ranges", "no zone", "no container"],
)
def test_a_file_of_something_else_is_refused(change: dict[str, object], says: str) -> None:
    document = {**json.loads(encode(saved(one_at(FULL_RANGE, 5)))), **change}
    with pytest.raises(ConfigurationError, match=says):
        decode(json.dumps(document).encode(), where="file")


@pytest.mark.parametrize(
    "ranges",
    [
        [("", "20"), ("20", "30")],
        [("", "20"), ("10", "FF")],
        [("", "FF"), ("", "FF")],
        [("20", "10"), ("", "FF")],
    ],
    ids=["a gap", "an overlap", "twice", "inverted"],
)
def test_a_file_with_other_than_one_bookmark_for_each_key_is_refused(
    ranges: list[tuple[str, str]],
) -> None:
    document = json.loads(encode(saved(one_at(FULL_RANGE, 5))))
    document["ranges"] = [
        {"min": low, "max": high, "continuation": '"5"', "lsn": 5} for low, high in ranges
    ]
    with pytest.raises(ConfigurationError, match="file h"):
        decode(json.dumps(document).encode(), where="file")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"format": "x"}'])
def test_what_is_no_such_document_is_refused(text: bytes) -> None:
    with pytest.raises(ConfigurationError, match="file holds no saved bookmarks"):
        decode(text, where="file")
