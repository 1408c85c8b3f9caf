"""Where ranges begin, over the life of a deployment."""

from __future__ import annotations

from dataclasses import replace

from projector.core.errors import SinkUnavailable, SourceUnavailable
from projector.core.lease import reset
from projector.core.names import Continuation, LeaseToken
from projector.core.start import BEGINNING, NOW, Position
from projector.core.states import RangeState
from tests.fakes.sink import FakeSink
from tests.fakes.world import World

ZERO = LeaseToken("0")


async def test_anchored_range_that_delivered_nothing_follows_a_changed_start(one: World) -> None:
    one.container.fill(5)
    one.start("a", start_from=NOW)
    await one.until(lambda: one.counts() == {"a": 1})
    await one.pass_time(5)
    await one.stop("a")
    assert one.sink.delivered == []
    one.start("b", start_from=BEGINNING)
    await one.until(one.consistent)
    await one.stop("b")
    assert one.leases.leases[ZERO].properties.items() >= {
        ("startFrom", "beginning"),
        ("delivered", "true"),
    }


async def test_range_that_delivered_keeps_its_bookmark(one: World) -> None:
    one.container.fill(5)
    one.start("a", start_from=NOW)
    await one.until(lambda: one.counts() == {"a": 1})
    one.container.put("new")
    await one.until(lambda: len(one.sink.delivered) == 1)
    await one.stop("a")
    one.start("b", start_from=BEGINNING)
    await one.pass_time(20)
    assert len(one.sink.delivered) == 1


async def test_lease_never_stays_without_a_token(one: World) -> None:
    one.start("a")
    await one.until(lambda: one.leases.leases and one.leases.leases[ZERO].continuation)
    assert one.leases.leases[ZERO].anchored_from == "beginning"


async def test_empty_target_replays_although_the_lease_stands_at_the_end(one: World) -> None:
    await one.once_read(5)
    fresh = FakeSink(one.clock, exists=one.container.find)
    one.start("b", sink=fresh)
    await one.until(lambda: fresh.live_rows() == one.container.documents())


async def test_lower_bookmark_wins_and_is_made_explicit(one: World) -> None:
    await one.once_read(5)
    one.leases.write(replace(one.leases.leases[ZERO], continuation=Continuation('"4"')))
    one.start("b")
    await one.until(lambda: len(one.sink.delivered) == 7)
    assert one.consistent()


async def test_higher_bookmark_loses_to_the_target(one: World) -> None:
    await one.once_read(5)
    one.container.fill(3, prefix="later")
    one.leases.write(replace(one.leases.leases[ZERO], continuation=Continuation('"9"')))
    one.start("b")
    await one.until(one.consistent)


async def test_bookmark_that_cannot_be_placed_is_mended_although_nothing_changes(
    one: World,
) -> None:
    """Whoever waits until all is read compares bookmarks, and a quiet range writes no other."""
    await one.once_read(5)
    one.leases.write(replace(one.leases.leases[ZERO], continuation=Continuation("elsewhere")))
    await one.caught_up("b")
    assert len(one.sink.delivered) == 5


async def test_replay_removes_what_vanished_unread(world: World) -> None:
    await world.once_read(100)
    for number in range(0, 100, 3):
        world.container.delete(f"cart-{number}")
    world.leases.clear()
    world.start("b")
    await world.until(world.consistent)
    assert sorted(world.sink.swept) == ["0", "0", "1", "1", "2", "2", "3", "3"]


async def test_replay_survives_a_crash_and_a_split(world: World) -> None:
    await world.once_read(200)
    for number in range(0, 200, 2):
        world.container.delete(f"cart-{number}")
    world.leases.clear()
    world.sink.faults.latency_seconds = 1.0
    world.start("b", page_size=5, batch_documents=5)
    await world.until(lambda: len(world.sink.batches) > 8)
    await world.kill("b")
    world.container.split("1")
    world.sink.faults.latency_seconds = 0.005
    world.start("c")
    await world.until(world.consistent, within_seconds=120)


async def test_sweep_is_shown_and_waits_outages_out(one: World) -> None:
    one.container.fill(5)
    one.sink.faults.plan("sweep", SourceUnavailable("503"), times=3)
    one.sink.faults.plan("sweep", delay_seconds=5.0)
    one.start("a")
    await one.until(lambda: one.state() is RangeState.SWEEPING)
    await one.until(lambda: one.sink.swept == ["0"])
    await one.until(lambda: one.state() is RangeState.READING)


async def reset_all(world: World) -> None:
    """What `leases reset` does: first the target, then the leases."""
    world.sink.request_replay()
    await world.pass_time(0.5)
    for lease in list(world.leases.leases.values()):
        world.leases.write(reset(lease, now=world.clock.now()))


async def test_reset_beside_running_hosts_replays_and_ends(world: World) -> None:
    world.container.fill(100)
    world.start("a")
    world.start("b")
    await world.until(lambda: world.counts() == {"a": 2, "b": 2} and world.consistent())
    before = len(world.sink.delivered)
    await reset_all(world)
    await world.until(lambda: len(world.sink.delivered) >= before + 100, within_seconds=30)
    await world.until(world.bookmarked)
    await world.pass_time(60)
    after = len(world.sink.delivered)
    assert before + 100 <= after <= before + 200  # a range may begin twice within the reset
    await world.pass_time(60)
    assert len(world.sink.delivered) == after
    assert not any(stored.replay for stored in world.sink.ranges)


async def test_token_cleared_by_hand_is_not_undone_by_a_running_host(world: World) -> None:
    world.container.fill(100)
    await world.caught_up()
    before = len(world.sink.delivered)
    for lease in list(world.leases.leases.values()):
        world.leases.write(replace(lease, continuation=None))
    world.container.fill(50, prefix="later")
    await world.until(lambda: len(world.sink.delivered) >= before + 200, within_seconds=60)
    await world.until(world.consistent)


async def test_target_down_at_the_start_is_waited_for(one: World) -> None:
    one.container.fill(5)
    one.sink.faults.plan("open", SinkUnavailable("down"), times=9)
    one.start("a")
    await one.until(lambda: one.state() is RangeState.WAITING_FOR_TARGET)
    await one.pass_time(70)
    assert one.counts() == {"a": 1}
    await one.until(one.consistent, within_seconds=120)


async def test_source_down_at_the_start_is_waited_for(one: World) -> None:
    one.container.fill(5)
    member = one.member("a")
    for operation in ("rid", "ranges", "resolve", "read"):
        member.source.faults.plan(operation, SourceUnavailable("503"), times=3)
    one.start_member(member)
    await one.until(one.consistent)


async def test_bookmark_changed_before_the_fence_is_the_one_that_counts(one: World) -> None:
    await one.once_read(8)
    member = one.member("b")
    one.sink.faults.plan("open", delay_seconds=5.0)
    one.start_member(member)
    await one.until(lambda: one.counts() == {"b": 1})
    one.leases.write(replace(one.leases.leases[ZERO], continuation=Continuation('"4"')))
    await one.until(lambda: member.source.reads)
    assert member.source.reads[0][1] == '"4"'


async def test_lower_bookmark_is_committed_in_the_target_before_any_read(one: World) -> None:
    await one.once_read(8)
    one.leases.write(replace(one.leases.leases[ZERO], continuation=Continuation('"4"')))
    member = one.member("b")
    member.source.faults.plan("read", hang=True)
    one.start_member(member)
    await one.until(lambda: member.source.reads)
    assert one.sink.stored("0").position == Position(continuation=Continuation('"4"'), lsn=4)


async def test_new_anchor_is_in_target_and_lease_before_any_read(one: World) -> None:
    await one.once_read(8)
    one.leases.write(reset(one.leases.leases[ZERO], now=one.clock.now()))
    member = one.member("b", start_from=NOW)
    member.source.faults.plan("read", hang=True)
    one.start_member(member)
    await one.until(lambda: member.source.reads)
    assert one.leases.leases[ZERO].continuation == '"9"'
    assert one.leases.leases[ZERO].anchored_from == "now"
    position = one.sink.stored("0").position
    assert position is not None
    assert position.continuation == '"9"'


async def test_missing_lease_of_a_retired_range_is_created_for_its_children(one: World) -> None:
    """Finer leases took the keys once; all leases are gone now, and every start is anchored."""
    one.container.fill(5)
    one.start("a", start_from=NOW)
    await one.until(lambda: one.counts() == {"a": 1})
    await one.stop("a")
    one.leases.clear()
    one.sink.stored("0").retired = True
    one.start("b", start_from=NOW)
    await one.until(lambda: [str(token) for token in one.leases.leases] == ["-FF"])
    await one.until(lambda: one.leases.leases[LeaseToken("-FF")].continuation)
    one.container.put("new")
    await one.until(lambda: len(one.sink.delivered) == 1)
