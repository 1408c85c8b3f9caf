"""Reading a range: what a page that cannot be used costs, and one that is refused."""

from __future__ import annotations

import asyncio

import pytest

from projector.core.errors import SourceUnavailable, Throttled
from projector.core.names import Continuation
from projector.core.start import Position
from projector.ports.feed import Page
from projector.processor.reader import Arrival, WaitingPages
from tests.fakes.clock import FakeClock
from tests.fakes.sink import Documents
from tests.fakes.world import World


async def test_page_that_is_cut_off_is_read_again_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.container.fill(30)
    whole = world.sink.prepare
    cut_off = 2

    def prepare(page: Page) -> Documents:
        nonlocal cut_off
        if page.body and cut_off:
            cut_off -= 1
            raise SourceUnavailable("the page is cut off")
        return whole(page)

    monkeypatch.setattr(world.sink, "prepare", prepare)
    member = world.start(page_size=10)
    await world.until(world.bookmarked)
    assert world.consistent()
    assert len(world.sink.delivered) == 30
    assert not [heard for heard in member.listener.heard if heard[0].startswith("released")]
    assert member.listener.heard.count(("failed: SourceUnavailable", "0")) == 1
    await world.stop_all()


async def test_throttling_without_a_useful_wait_is_asked_again_ever_more_slowly() -> None:
    world = World()
    member = await world.caught_up()
    member.source.faults.plan("read", Throttled(retry_after_seconds=0.0), times=None)
    world.container.fill(1)
    await world.pass_time(60)
    assert member.source.faults.calls["read"] < 60
    member.source.faults.clear()
    await world.until(world.consistent, within_seconds=5)
    await world.stop_all()


GATHER_SECONDS = 0.25


def at(lsn: int) -> Position:
    return Position(continuation=Continuation(f'"{lsn}"'), lsn=lsn)


def page(
    name: str, lsn: int, *, documents: int = 1, size_bytes: int = 1, more_follows: bool = False
) -> Arrival[str]:
    return Arrival(
        ready=name,
        position=at(lsn),
        documents=documents,
        size_bytes=size_bytes,
        more_follows=more_follows,
    )


def waiting(*, max_documents: int = 10, max_bytes: int = 100) -> WaitingPages[str]:
    return WaitingPages(
        start=at(0),
        max_documents=max_documents,
        max_bytes=max_bytes,
        clock=FakeClock(),
        gather_seconds=GATHER_SECONDS,
    )


async def seconds_to_take(pages: WaitingPages[str]) -> float:
    """How long the applier waits for its batch."""
    began = asyncio.get_running_loop().time()
    assert await pages.take() is not None
    return asyncio.get_running_loop().time() - began


async def fits(pages: WaitingPages[str], documents: int) -> bool:
    """Whether there is room without waiting."""
    try:
        async with asyncio.timeout(1):
            await pages.room(documents)
    except TimeoutError:
        return False
    return True


async def test_everything_that_waits_is_one_batch_with_the_last_place() -> None:
    pages = waiting()
    pages.put(page("a", 1, documents=2, size_bytes=10))
    pages.put(page("b", 2, documents=3, size_bytes=10))
    pages.move(at(5))
    batch = await pages.take()
    assert batch is not None
    assert (batch.pages, batch.position) == (("a", "b"), at(5))


async def test_first_page_always_fits_however_large() -> None:
    assert await fits(waiting(), 1_000_000)


async def test_reader_waits_when_documents_would_not_fit() -> None:
    pages = waiting()
    pages.put(page("a", 1, documents=6))
    assert await fits(pages, 4)
    assert not await fits(pages, 5)
    await pages.take()
    assert await fits(pages, 5)


async def test_reader_waits_when_another_page_of_that_size_would_not_fit() -> None:
    pages = waiting()
    pages.put(page("a", 1, size_bytes=51))
    assert not await fits(pages, 1)


async def test_idle_only_when_nothing_waits_and_nothing_is_in_hand() -> None:
    pages = waiting()
    seen = [pages.idle]
    pages.move(at(1))
    seen.append(pages.idle)
    await pages.take()
    seen.append(pages.idle)
    pages.done()
    seen.append(pages.idle)
    assert seen == [True, False, False, True]


async def test_closing_leaves_what_waits_to_the_next_owner() -> None:
    pages = waiting()
    pages.put(page("a", 1))
    pages.close()
    assert await pages.take() is None


async def test_at_most_two_batches_are_in_flight_however_long_the_backlog() -> None:
    world = World()
    world.container.fill(500)
    member = world.member("a", page_size=10, batch_documents=50)
    world.sink.faults.latency_seconds = 3.0
    world.start_member(member)
    most = 0
    async with asyncio.timeout(200):
        while not world.consistent():
            places = [
                int(position.strip('"')) for _, position, _ in member.source.reads if position
            ]
            most = max(most, max(places, default=1) - 1 - len(world.sink.delivered))
            await world.clock.sleep(0.05)
    assert 50 < most <= 2 * 50
    await world.stop_all()


async def test_last_page_of_a_backlog_waits_for_nothing() -> None:
    pages = waiting()
    pages.put(page("a", 1, more_follows=True))
    pages.put(page("b", 2))
    assert await seconds_to_take(pages) == 0


async def test_page_of_a_backlog_waits_a_moment_for_the_next() -> None:
    pages = waiting()
    pages.put(page("a", 1, more_follows=True))
    assert await seconds_to_take(pages) == GATHER_SECONDS


async def test_nothing_is_held_back_when_the_reader_waits() -> None:
    pages = waiting()
    pages.put(page("a", 1, more_follows=True))
    pages.hurry()
    assert await seconds_to_take(pages) == 0


async def test_nothing_is_held_back_when_there_is_no_room_for_more() -> None:
    pages = waiting()
    pages.put(page("a", 1, documents=6, more_follows=True))
    assert not await fits(pages, 5)
    assert await seconds_to_take(pages) == 0


async def test_pages_of_a_backlog_become_one_batch() -> None:
    pages = waiting()
    pages.put(page("a", 1, documents=4, more_follows=True))
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(pages.take())
        await asyncio.sleep(GATHER_SECONDS / 2)
        pages.put(page("b", 2, documents=4, more_follows=True))
    batch = taking.result()
    assert batch is not None
    assert batch.pages == ("a", "b")


async def test_closing_ends_the_gathering() -> None:
    pages = waiting()
    pages.put(page("a", 1, more_follows=True))
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(pages.take())
        await asyncio.sleep(GATHER_SECONDS / 2)
        pages.close()
    assert taking.result() is None
