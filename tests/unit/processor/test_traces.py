"""The way of each batch is told once, from its first read to its bookmark."""

from __future__ import annotations

from itertools import pairwise

from projector.core.errors import LeaseStoreUnavailable
from projector.core.names import LeaseToken
from projector.ports.traces import BatchTrace
from tests.fakes.world import Member, World


class Kept:
    def __init__(self) -> None:
        self.traces: list[tuple[LeaseToken, BatchTrace]] = []

    def traced(self, token: LeaseToken, trace: BatchTrace) -> None:
        self.traces.append((token, trace))


def followed(member: Member) -> list[tuple[LeaseToken, BatchTrace]]:
    kept = Kept()
    member.host._observer._tracer = kept
    return kept.traces


async def test_each_batch_is_followed_from_its_reads_to_its_bookmark(world: World) -> None:
    member = world.member("a", page_size=5)
    traces = followed(member)
    world.container.fill(40)
    world.start_member(member)
    await world.until(lambda: world.consistent() and world.bookmarked())
    await world.stop("a")

    assert sum(trace.applied.delivered for _, trace in traces) == 40
    assert {token for token, _ in traces} == {"0", "1", "2", "3"}
    for token in {token for token, _ in traces}:
        mine = [trace for of, trace in traces if of == token]
        assert mine[-1].bookmark is not None
        for trace in mine:
            moments = [
                *(
                    moment
                    for page in trace.pages
                    for phase in (page.read, page.prepare)
                    for moment in phase
                ),
                *trace.apply,
                *(trace.bookmark or ()),
            ]
            assert all(one <= next_one for one, next_one in pairwise(moments))
            assert sum(page.documents or 0 for page in trace.pages) == trace.applied.delivered


async def test_a_poll_without_changes_is_no_batch(world: World) -> None:
    member = world.member("a")
    traces = followed(member)
    world.start_member(member)
    await world.pass_time(30)
    assert traces == []


async def test_what_cannot_be_bookmarked_is_told_all_the_same(world: World) -> None:
    member = world.member("a")
    traces = followed(member)
    world.start_member(member)
    await world.until(world.bookmarked)
    member.leases.faults.plan("replace", LeaseStoreUnavailable("down"), times=1000)
    for number in range(5):
        world.container.put("cart", f"{number}")
        await world.pass_time(2)
    assert traces == []
    await world.stop("a")
    assert [trace.bookmark for _, trace in traces] == [None] * 5
