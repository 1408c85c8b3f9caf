"""Reading a range: what a page that cannot be used costs, and one that is refused."""

from __future__ import annotations

import pytest

from projector.core.errors import SourceUnavailable, Throttled
from projector.ports.feed import Page
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
    member = world.start()
    await world.until(world.bookmarked)
    member.source.faults.plan("read", Throttled(retry_after_seconds=0.0), times=None)
    world.container.fill(1)
    await world.pass_time(60)
    assert member.source.faults.calls["read"] < 60
    member.source.faults.clear()
    await world.until(world.consistent, within_seconds=5)
    await world.stop_all()
