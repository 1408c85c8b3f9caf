"""Checks 101 to 107: context and estimator. What scalers read is tried over HTTP."""

from __future__ import annotations

from dataclasses import replace

import pytest

from projector.core.errors import SourceUnavailable
from projector.core.names import LeaseToken
from projector.core.states import gap_after_page
from projector.processor.estimator import Estimator, gap_in_all
from tests.fakes.leases import FakeLeaseStore
from tests.fakes.source import FakeChangeSource
from tests.fakes.world import World

ZERO = LeaseToken("0")


class Watcher:
    """A process that owns no lease."""

    def __init__(self, world: World) -> None:
        self.source = FakeChangeSource(world.container, world.clock)
        self.leases = FakeLeaseStore(world.leases)
        self.estimator = Estimator(source=self.source, leases=self.leases, clock=world.clock)


@pytest.fixture
async def stopped(world: World) -> World:
    """Everything was read once; nobody runs."""
    await world.once_read(40)
    return world


async def test_check_102_no_leases(world: World) -> None:
    estimates = await Watcher(world).estimator.estimate()
    assert list(estimates) == []
    assert gap_in_all(estimates) == 1


async def test_check_103_no_bookmark_is_unknown_and_costs_no_read(stopped: World) -> None:
    for lease in list(stopped.leases.leases.values()):
        stopped.leases.write(replace(lease, continuation=None))
    watcher = Watcher(stopped)
    estimates = await watcher.estimator.estimate()
    assert [(e.gap_changes, e.lag_seconds, e.gap_at_least) for e in estimates] == [
        (None, None, 1)
    ] * 4
    assert gap_in_all(estimates) == 4
    assert watcher.source.faults.calls["read"] == 0


async def test_check_104_nothing_unread_is_zero(stopped: World) -> None:
    estimates = await Watcher(stopped).estimator.estimate()
    assert [(e.gap_changes, e.lag_seconds) for e in estimates] == [(0, 0.0)] * 4


async def test_check_104_pending_writes_are_counted() -> None:
    world = World()
    await world.caught_up()
    await world.stop("a")
    world.container.fill(10)
    await world.pass_time(30)
    (estimate,) = await Watcher(world).estimator.estimate()
    assert estimate.gap_changes == 10
    assert estimate.lag_seconds == pytest.approx(30, abs=1.1)


@pytest.mark.parametrize("deep", [1, 2])
async def test_check_105_split_while_nobody_ran_is_counted_piece_by_piece(
    stopped: World, *, deep: int
) -> None:
    stopped.container.put("cart-1", quantity=9)
    for _ in range(deep):
        for partition in list(stopped.container.partitions):
            stopped.container.split(partition.id)
    estimates = await Watcher(stopped).estimator.estimate()
    assert sum(e.gap_changes or 0 for e in estimates) == 1


async def test_check_105_failed_read_is_unknown_not_zero(stopped: World) -> None:
    watcher = Watcher(stopped)
    watcher.source.faults.plan("read", SourceUnavailable("503"), about="1")
    estimates = {e.lease_token: e for e in await watcher.estimator.estimate()}
    assert estimates[LeaseToken("1")].gap_changes is None
    assert "503" in (estimates[LeaseToken("1")].error or "")
    assert estimates[ZERO].gap_changes == 0


@pytest.mark.parametrize(
    ("session", "first", "gap"),
    [(10, 1, 10), (10, 10, 1), (10, 12, 0), (None, 3, None), (10, None, None)],
)
def test_check_106_gap_clamps_at_zero_and_stays_unknown(
    session: int | None, first: int | None, gap: int | None
) -> None:
    assert gap_after_page(session_lsn=session, first_lsn=first) == gap


async def test_check_107_cost_owner_and_token_are_told(stopped: World) -> None:
    stopped.start("b")
    await stopped.until(lambda: stopped.counts() == {"b": 4})
    estimates = await Watcher(stopped).estimator.estimate()
    assert {(e.lease_token, e.owner) for e in estimates} == {(t, "b") for t in "0123"}
    assert all(e.request_units > 0 for e in estimates)


async def test_undecodable_first_document_is_unknown(stopped: World) -> None:
    watcher = Watcher(stopped)
    stopped.container.put("cart-1", quantity=2)
    real = watcher.source.read_page

    async def broken(*args: object, **kwargs: object) -> object:
        page = await real(*args, **kwargs)  # type: ignore[arg-type]
        return page if page.body is None else replace(page, body=b'{"Documents":[{"a":\xff}]}')

    watcher.source.read_page = broken  # type: ignore[method-assign, assignment]
    gaps = [e.gap_changes for e in await watcher.estimator.estimate()]
    assert sorted(gaps, key=str) == [0, 0, 0, None]
