"""Checks 31 to 38 and 74 to 85: starting, reading, applying, bookmarking."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from projector.core.errors import (
    CredentialExpired,
    FeedRangeGone,
    HandlerFailed,
    PageTooLarge,
    ProjectorError,
    SinkUnavailable,
    SourceMissing,
    SourceUnavailable,
    Throttled,
)
from projector.core.names import LeaseToken
from projector.core.start import NOW, StartFrom, StartKind
from projector.core.states import RangeState
from tests.fakes.clock import START
from tests.fakes.world import World

ZERO = LeaseToken("0")


def since(time: datetime) -> StartFrom:
    return StartFrom(kind=StartKind.TIME, time=time)


def carts(world: World) -> list[str]:
    return [cart for _, cart, _ in world.sink.delivered]


async def test_check_031_changes_right_after_the_start_are_delivered(one: World) -> None:
    one.container.fill(3, prefix="old")
    member = one.start("a", start_from=NOW)
    await member.host.wait_until_started()
    for number in range(10):
        one.container.put(f"new-{number}")
    await one.until(lambda: len(one.sink.delivered) == 10)
    assert carts(one) == [f"new-{number}" for number in range(10)]


async def test_check_032_explicit_start_is_not_overridden(one: World) -> None:
    one.container.fill(3, prefix="old")
    one.start("a")
    await one.until(lambda: len(one.sink.delivered) == 3)


async def test_check_033_start_from_the_oldest_time_delivers_everything(one: World) -> None:
    one.container.fill(3, prefix="old")
    one.start("a", start_from=since(START - timedelta(days=36_500)))
    await one.until(lambda: len(one.sink.delivered) == 3)


async def test_check_034_start_time_delivers_what_came_later(one: World) -> None:
    one.container.fill(3, prefix="old")
    await one.pass_time(3600)
    one.container.fill(2, prefix="new")
    one.start("a", start_from=since(START + timedelta(minutes=30)))
    await one.until(lambda: len(one.sink.delivered) == 2)
    await one.pass_time(10)
    assert carts(one) == ["new-0", "new-1"]


@pytest.mark.parametrize("start", [NOW, since(START + timedelta(days=1))], ids=str)
async def test_check_035_bookmark_wins_over_the_start(one: World, start: StartFrom) -> None:
    one.container.fill(3)
    one.start("a")
    await one.until(lambda: len(one.sink.delivered) == 3)
    await one.stop("a")
    one.container.fill(2, prefix="while-down")
    one.start("b", start_from=start)
    await one.until(lambda: len(one.sink.delivered) == 5)


def test_check_036_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        since(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test


def test_check_036_other_zones_mean_the_same_moment() -> None:
    berlin = timezone(timedelta(hours=1))
    assert since(datetime(2026, 1, 1, 1, tzinfo=berlin)).time == datetime(
        2026,
        1,
        1,
        tzinfo=timezone.utc,  # noqa: UP017 - plain on purpose
    )


async def test_check_038_reads_go_on_after_the_last_etag_verbatim(one: World) -> None:
    one.container.fill(5)
    member = await one.caught_up("a", page_size=2)
    places = [continuation for _, continuation, _ in member.source.reads]
    assert places[:4] == [None, '"3"', '"5"', '"6"']


async def test_check_074_pages_are_drained_without_a_pause(one: World) -> None:
    one.container.fill(50)
    member = one.start("a", page_size=1, poll_min_seconds=5.0, poll_max_seconds=5.0)
    await member.host.wait_until_started()
    began = one.clock.monotonic()
    await one.until(one.consistent)
    assert one.clock.monotonic() - began < 2.0
    reads = len(member.source.reads)
    await one.pass_time(4.5)
    assert len(member.source.reads) <= reads + 1


async def test_check_075_bookmark_equals_the_place_applied(one: World) -> None:
    one.container.fill(5)
    await one.caught_up()
    assert one.sink.batches[-1][2].continuation == one.leases.leases[ZERO].continuation


async def test_check_075_no_bookmark_when_the_handler_fails(one: World) -> None:
    await one.caught_up("a", acquire_seconds=500.0)
    before = one.leases.leases[ZERO].continuation
    one.sink.faults.plan("apply", HandlerFailed("no"), times=None)
    one.container.fill(5)
    await one.pass_time(30)
    assert one.leases.leases[ZERO].continuation == before
    one.sink.faults.clear()


async def test_check_076_failed_batch_comes_again_in_order(one: World) -> None:
    one.container.fill(3)
    member = one.member("a", page_size=1, batch_documents=1)
    one.sink.faults.plan("apply", HandlerFailed("first"), times=1)
    one.start_member(member)
    await one.until(lambda: len(one.sink.delivered) == 3)
    assert carts(one) == ["cart-0", "cart-1", "cart-2"]
    assert [type(error) for error in member.listener.errors] == [HandlerFailed]


async def test_check_079_page_without_documents_moves_the_place(one: World) -> None:
    one.container.fill(1)
    await one.caught_up()
    one.container.partitions[0].lsn += 5
    await one.until(one.bookmarked, within_seconds=5)
    assert len(one.sink.delivered) == 1


async def test_check_081_read_that_hangs_is_ended_and_repeated(one: World) -> None:
    one.container.fill(5)
    member = one.member("a", stall_seconds=65.0)
    member.source.faults.plan("read", hang=True)
    one.start_member(member)
    await one.until(lambda: ("released: stalled", "0") in member.listener.heard)
    await one.until(one.consistent, within_seconds=20)
    assert member.source.rebuilds == 1


async def test_check_082_gone_is_a_split_and_missing_is_not(one: World) -> None:
    one.container.fill(5)
    member = one.member("a")
    member.source.faults.plan("read", SourceMissing("404"), times=3)
    one.start_member(member)
    await one.until(one.consistent, within_seconds=30)
    assert list(one.leases.leases) == ["0"]
    assert [type(error) for error in member.listener.errors] == [SourceMissing]


async def test_check_082_endless_gone_does_not_spin(one: World) -> None:
    one.container.fill(5)
    member = one.member("a")
    member.source.faults.plan("read", FeedRangeGone("410"), times=None)
    one.start_member(member)
    await one.pass_time(120)
    assert member.source.faults.calls["read"] < 60
    assert one.counts() == {"a": 1}
    member.source.faults.clear()
    await one.until(one.consistent, within_seconds=20)


IN_PLACE: dict[str, tuple[ProjectorError, RangeState]] = {
    "429": (Throttled(retry_after_seconds=0.5), RangeState.THROTTLED),
    "503": (SourceUnavailable("503"), RangeState.WAITING_FOR_SOURCE),
    "403/5300": (CredentialExpired("aged"), RangeState.WAITING_FOR_SOURCE),
    "404": (SourceMissing("gone"), RangeState.WAITING_FOR_SOURCE),
}


@pytest.mark.parametrize(("error", "state"), IN_PLACE.values(), ids=IN_PLACE.keys())
async def test_check_083_trouble_is_waited_out_in_place(
    one: World, error: ProjectorError, state: RangeState
) -> None:
    member = await one.caught_up()
    epoch = one.sink.ranges[0].epoch
    member.source.faults.plan("read", error, times=5)
    one.container.fill(5)
    await one.until(lambda: one.state() is state)
    await one.until(one.consistent)
    assert one.sink.ranges[0].epoch == epoch
    assert one.state() is RangeState.READING
    assert not [h for h in member.listener.heard if h[0].startswith("released")]


async def test_check_083_throttling_is_waited_for_as_told(one: World) -> None:
    member = await one.caught_up()
    one.container.fill(1)
    member.source.faults.plan("read", Throttled(retry_after_seconds=20.0))
    await one.until(lambda: one.state() is RangeState.THROTTLED)
    reads = member.source.faults.calls["read"]
    await one.pass_time(19.5)
    assert member.source.faults.calls["read"] == reads
    await one.until(one.consistent, within_seconds=2)


async def test_check_084_page_is_halved_and_recovers(one: World) -> None:
    one.container.fill(20)
    member = one.member("a", page_size=8)
    member.source.faults.plan("read", PageTooLarge("reduce page size"), times=4)
    one.start_member(member)
    await one.until(one.consistent)
    sizes = [size for _, _, size in member.source.reads]
    assert sizes[:9] == [8, 4, 2, 1, 1, 2, 4, 8, 8]
    places = [place for _, place, _ in member.source.reads]
    assert places[:5] == [None] * 5


async def test_check_085_changes_of_one_transaction_stay_together(one: World) -> None:
    for number in range(5):
        lsn = one.container.put(f"cart-{number}")
        if number in {1, 3}:
            entry = one.container.partitions[0].entries[f"cart-{number}", "1"]
            entry.lsn = entry.document["_lsn"] = lsn - 1
    one.start("a", page_size=1, batch_documents=1)
    await one.until(lambda: len(one.sink.delivered) == 5)
    assert [count for _, count, _ in one.sink.batches if count] == [2, 2, 1]


async def test_target_down_is_waited_out_with_the_same_batch(one: World) -> None:
    member = await one.caught_up()
    one.sink.faults.plan("apply", SinkUnavailable("down"), times=12)
    one.container.fill(5)
    await one.until(lambda: one.state() is RangeState.WAITING_FOR_TARGET)
    await one.pass_time(70)
    assert one.counts() == {"a": 1}
    await one.until(one.consistent, within_seconds=120)
    assert [type(e) for e in member.listener.errors] == [SinkUnavailable]
    assert len(one.sink.delivered) == 5


async def test_answer_lost_after_the_commit_changes_nothing(one: World) -> None:
    one.container.fill(5)
    one.sink.faults.plan("apply", SinkUnavailable("reset"), after=True)
    await one.caught_up()
    assert one.consistent()


async def test_credential_of_many_ranges_is_rebuilt_once(world: World) -> None:
    member = await world.caught_up()
    for token in "0123":
        member.source.faults.plan("read", CredentialExpired("aged"), about=token)
    world.container.fill(40)
    await world.until(world.consistent)
    assert member.source.rebuilds == 1
