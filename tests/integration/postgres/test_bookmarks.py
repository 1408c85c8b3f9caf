"""Saved bookmarks beside running hosts: kept, listed, and gone back to, fenced and without a sweep."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from projector.core.bookmarks import SavedPosition, Snapshot, before_reset
from projector.core.errors import ConfigurationError, FencedOut, SourceRecreated
from projector.core.names import Continuation
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.ports.copy import TargetIdentity
from projector.ports.feed import Beginning, Grant
from projector.ports.timeline import Kind
from projector.postgres import bookmarks
from projector.postgres.connections import Connections
from projector.postgres.ranges import live_ranges, stored_ranges
from projector.postgres.resets import request_replay
from projector.postgres.sink import PostgresSink
from projector.postgres.timeline import latest_entries
from tests.integration.postgres.carts import (
    NOWHERE,
    RID,
    apply,
    begun,
    claim,
    line,
    page,
    position,
    rows,
    tombstone,
    views,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TARGET = TargetIdentity(id="id", name="here")
TOLD = (Kind.SNAPSHOT_RESTORED, "before")
LEFT, RIGHT = FeedRange(min="", max="20"), FeedRange(min="20", max="FF")


async def take(connections: Connections, name: str = "before") -> Snapshot:
    return await bookmarks.take(connections, TARGET, name=name, now=NOON)


async def go_back(
    connections: Connections, to: Snapshot, keys: list[FeedRange] | None = None
) -> list[int]:
    done = await bookmarks.go_back(connections, RID, to, keys, told=TOLD, actor="me@here")
    return [move.position.lsn for move in done]


async def test_what_is_saved_is_the_position_that_goes_with_the_rows(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 7)), at=7)
    taken = await take(connections)
    assert (taken.container_rid, taken.taken_at) == (RID, NOON)
    (one,) = taken.positions
    assert (one.feed_range, one.continuation, one.lsn) == (FULL_RANGE, '"7"', 7)
    assert one.time == datetime.fromtimestamp(1_790_000_007, UTC)


async def test_nothing_is_saved_before_anything_is_copied(connections: Connections) -> None:
    with pytest.raises(ConfigurationError, match="nothing is copied yet"):
        await take(connections)


async def test_kept_under_a_name_until_it_is_removed(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, at=7)
    first = await take(connections)
    assert await bookmarks.keep(connections, first)
    assert not await bookmarks.keep(connections, first)
    await apply(sink, grant, at=8)
    later = await take(connections)
    assert await bookmarks.keep(connections, later, over=True)
    assert await bookmarks.find(connections, "before") == later
    (listed,) = await bookmarks.kept(connections)
    assert (listed.name, listed.taken_at, listed.container_rid, listed.ranges) == (
        "before",
        NOON,
        RID,
        1,
    )
    assert await bookmarks.forget(connections, "before")
    assert not await bookmarks.forget(connections, "before")
    assert await bookmarks.find(connections, "before") is None


async def test_a_running_owner_is_fenced_and_the_next_one_reads_on_from_there(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 7), line("a", "2", 7)), at=7)
    to = await take(connections)
    await apply(sink, grant, page(line("a", "1", 9, item="Pen"), tombstone("a", "2", 10)), at=10)
    before = await views(connections)
    assert await go_back(connections, to) == [7]
    with pytest.raises(FencedOut):
        await apply(sink, grant, page(line("a", "3", 11)), at=11)
    again = await sink.open(grant.claim)
    assert (again.stored, again.replay_requested, again.replay_open) == (position(7), False, False)
    assert again.lineage == grant.lineage
    # What is read again is what is there: nothing changes, and nothing goes.
    await apply(sink, again, page(line("a", "1", 9, item="Pen"), tombstone("a", "2", 10)), at=10)
    assert await views(connections) == before
    (entry,) = await latest_entries(connections, limit=5)
    assert (entry.kind, entry.subject, entry.actor) == (Kind.SNAPSHOT_RESTORED, "before", "me@here")


async def test_nothing_goes_forward_and_then_nothing_is_moved(
    connections: Connections, sink: PostgresSink
) -> None:
    left, right = await begun(sink, token="1", keys=LEFT), await begun(sink, token="2", keys=RIGHT)
    await apply(sink, left, at=7)
    await apply(sink, right, at=7)
    to = await take(connections)
    await request_replay(connections, RID, [RIGHT])
    with pytest.raises(ConfigurationError, match="range 2 is to be read from its start position"):
        await go_back(connections, to)
    fresh = await sink.begin(await sink.open(right.claim), Beginning(position=position(3)))
    with pytest.raises(ConfigurationError, match="range 2 has come to LSN 3, which is before 7"):
        await go_back(connections, to)
    await apply(sink, left, at=8)  # it was never fenced
    assert await go_back(connections, to, [LEFT]) == [7]
    await apply(sink, fresh, at=8)
    assert await go_back(connections, to) == [7, 7]


async def reset(connections: Connections, name: str) -> Snapshot | None:
    """As the command does it."""
    await request_replay(connections, RID, keep_as=(name, TARGET))
    return await bookmarks.find(connections, name)


@pytest.mark.parametrize("has_begun", [False, True], ids=["requested", "running"])
async def test_a_reset_can_be_undone_while_its_replay_is_open(
    connections: Connections, sink: PostgresSink, grant: Grant, *, has_begun: bool
) -> None:
    await apply(sink, grant, page(line("a", "1", 7)), at=7)
    to = await reset(connections, "before-reset-1")
    assert to is not None
    again = await sink.open(grant.claim)
    if has_begun:
        nowhere = Beginning(position=NOWHERE, replay_mark_lsn=7)
        again = await sink.begin(again, nowhere)
        await apply(sink, again, page(line("a", "0", 3)), at=3)
        again = await sink.open(grant.claim)  # it outlives owners
    assert await go_back(connections, to) == [7]
    with pytest.raises(FencedOut):
        await apply(sink, again, page(line("a", "2", 8)), at=8)
    last = await sink.open(grant.claim)
    assert (last.stored, last.replay_requested, last.replay_open) == (position(7), False, False)
    await apply(sink, last, page(line("a", "2", 8)), at=8)
    async with connections.session() as session:
        assert await rows(session, "SELECT FROM replay_seen") == []


async def test_what_resets_have_kept_goes_after_a_time_and_what_people_named_stays(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, at=7)
    over, undoable = before_reset(NOON), before_reset(NOON + timedelta(hours=1))
    for name in ("mine", "before-reset-by-hand", over):
        await bookmarks.keep(connections, await take(connections, name))
    await reset(connections, undoable)
    assert await bookmarks.forget_resets(connections, age=timedelta(days=36_500)) == 0
    assert await bookmarks.forget_resets(connections, age=timedelta(0)) == 1
    assert {one.name for one in await bookmarks.kept(connections)} == {
        "mine",
        "before-reset-by-hand",
        undoable,
    }
    to = await bookmarks.find(connections, undoable)
    assert to is not None
    assert await go_back(connections, to) == [7]
    assert await bookmarks.forget_resets(connections, age=timedelta(0)) == 1


async def test_a_reset_that_is_over_or_was_followed_by_another_is_not_undone(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    """By then the position says nothing of where the rows are; going back is as ever."""
    await apply(sink, grant, at=7)
    to = await reset(connections, "before-reset-1")
    assert to is not None
    assert await reset(connections, "before-reset-2") is None  # there was no position to keep
    with pytest.raises(ConfigurationError, match="nothing was moved"):
        await go_back(connections, to)
    nowhere = Beginning(position=NOWHERE, replay_mark_lsn=7)
    again = await sink.begin(await sink.open(grant.claim), nowhere)
    await apply(sink, again, at=9)
    assert (
        await reset(connections, "before-reset-3") is None
    )  # it would end what the open replay owes


async def test_nothing_is_kept_of_a_copy_that_began_at_a_time(
    connections: Connections, sink: PostgresSink
) -> None:
    """A reset to the beginning brings more than there was: none of it may be called complete too early."""
    beginning = Beginning(position=position(7), anchored_from=NOON.isoformat())
    await sink.begin(await sink.open(claim()), beginning)
    assert await reset(connections, "before-reset-1") is None


async def test_a_position_that_went_back_between_look_and_write_is_not_moved(
    connections: Connections, sink: PostgresSink, monkeypatch: pytest.MonkeyPatch, grant: Grant
) -> None:
    await apply(sink, grant, at=7)
    to = await take(connections)

    async def slowly(*arguments: Any, **named: Any) -> object:
        found = await stored_ranges(*arguments, **named)
        await sink.begin(grant, Beginning(position=position(3)))
        return found

    monkeypatch.setattr("projector.postgres.bookmarks.stored_ranges", slowly)
    with pytest.raises(ConfigurationError, match="has come to LSN 3"):
        await go_back(connections, to)
    (one,) = await live_ranges(connections)
    assert (one.lsn, one.epoch) == (3, grant.epoch)


async def test_an_open_replay_stays_open_and_keeps_what_it_has_seen(
    connections: Connections, sink: PostgresSink
) -> None:
    """It has seen all that lies before the position, so its sweep is as right as before."""
    grant = await begun(sink, mark=20)
    await apply(sink, grant, page(line("a", "1", 5)), at=5)
    to = await take(connections)
    await apply(sink, grant, page(line("a", "2", 9)), at=9)
    await go_back(connections, to)
    again = await sink.open(grant.claim)
    assert (again.stored, again.replay_open, again.replay_mark_lsn) == (position(5), True, 20)
    await apply(sink, again, page(line("a", "2", 9)), at=20)
    keys = await sink.verdicts.sweep_candidates(again, after=None, limit=10)
    assert keys == []


async def test_a_range_that_is_not_replayed_is_not_swept(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    """What the position lies behind was never asked for: its absence from the feed says nothing."""
    await apply(sink, grant, page(line("a", "1", 5)), at=5)
    to = await take(connections)
    await apply(sink, grant, page(line("a", "2", 9)), at=9)
    await go_back(connections, to)
    again = await sink.open(grant.claim)
    await apply(sink, again, page(line("a", "2", 9)), at=9)
    with pytest.raises(FencedOut):  # there is no replay to end
        await sink.verdicts.finish_replay(again)
    assert len((await views(connections))["cart_items"]) == 2


async def test_a_child_that_was_not_opened_learns_of_it_from_its_parent(
    connections: Connections, sink: PostgresSink
) -> None:
    parent = await begun(sink)
    await apply(sink, parent, at=7)
    to = await take(connections)
    await apply(sink, parent, at=9)
    await sink.open(claim("1", LEFT))
    assert await go_back(connections, to) == [7, 7]
    assert (await sink.open(claim("2", RIGHT))).stored == position(7)
    assert (await sink.open(claim("1", LEFT))).stored == position(7)


async def test_keys_of_several_saved_ranges_go_back_to_the_lowest(
    connections: Connections, sink: PostgresSink
) -> None:
    left, right = await begun(sink, token="1", keys=LEFT), await begun(sink, token="2", keys=RIGHT)
    await apply(sink, left, at=7)
    await apply(sink, right, at=5)
    to = await take(connections)
    merged = await sink.begin(await sink.open(claim("3")), Beginning(position=position(9)))
    assert merged.lineage == 1  # above both
    assert await go_back(connections, to) == [5]
    again = await sink.open(claim("3"))
    assert (again.stored, again.lineage) == (position(5), 1)


@pytest.mark.parametrize(("begins_at", "since"), [(5, None), (9, None), (12, NOON)])
async def test_who_begins_at_a_time_in_rows_that_were_read_further_passes_nothing_over(
    connections: Connections, sink: PostgresSink, begins_at: int, since: datetime | None
) -> None:
    """So verify and repair excuse no document for being older than it."""
    await apply(sink, await begun(sink), at=9)
    other = replace(claim(), processor_name="another")
    await sink.begin(
        await sink.open(other),
        Beginning(position=position(begins_at), anchored_from=NOON.isoformat()),
    )
    (one,) = await live_ranges(connections)
    assert one.read_since == since


@pytest.mark.parametrize(
    ("then", "since"),
    [(timedelta(hours=-1), timedelta(hours=-1)), (timedelta(hours=1), timedelta(0))],
)
async def test_who_begins_earlier_in_rows_that_were_read_since_a_time_excuses_fewer(
    connections: Connections, sink: PostgresSink, then: timedelta, since: timedelta
) -> None:
    for at in (NOON, NOON + then):
        began = Beginning(position=position(5), anchored_from=at.isoformat())
        await apply(sink, await sink.begin(await sink.open(claim()), began), at=9)
    (one,) = await live_ranges(connections)
    assert one.read_since == NOON + since


async def test_a_range_that_began_at_a_time_stays_so_unless_it_goes_back_before_it(
    connections: Connections, sink: PostgresSink
) -> None:
    grant = await sink.begin(
        await sink.open(claim()),
        Beginning(position=position(7), anchored_from=NOON.isoformat()),
    )
    await apply(sink, grant, at=9)
    await go_back(connections, await take(connections))
    (one,) = await live_ranges(connections)
    assert (one.read_since, one.anchored_from) == (NOON, None)
    earlier = datetime(2026, 1, 1, tzinfo=UTC)
    to = Snapshot(
        name="",
        taken_at=earlier,
        container_rid=RID,
        source=None,
        target_id="id",
        target_name="here",
        positions=(
            SavedPosition(
                feed_range=FULL_RANGE,
                continuation=Continuation('"2"'),
                lsn=2,
                time=earlier,
                since=earlier,
            ),
        ),
    )
    await go_back(connections, to)
    (one,) = await live_ranges(connections)
    assert (one.read_since, one.position) == (earlier, position(2))


async def test_another_container_is_refused(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, at=7)
    to = await take(connections)
    with pytest.raises(SourceRecreated):
        await bookmarks.go_back(connections, "rid2", to, told=TOLD, actor="me")
