"""What may be forgotten, and when: tombstones under their rule, empty totals, closed entries."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from projector.core.ranges import FeedRange
from projector.ports.feed import Beginning, Grant
from projector.ports.rows import DocumentKey, Verdict
from projector.postgres.connections import Connections
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.housekeeping import (
    housekeeping_runs,
    purge_closed_entries,
    purge_empty_totals,
    purge_tombstones,
    turn,
)
from projector.postgres.sink import PostgresSink
from projector.postgres.sweep import VerdictStore
from tests.integration.postgres.carts import (
    NOWHERE,
    apply,
    begun,
    claim,
    line,
    page,
    position,
    rejection,
    rows,
    tombstone,
    views,
)

LEFT, RIGHT = FeedRange(min="", max="20"), FeedRange(min="20", max="FF")
IN_FLIGHT = 4


async def tombstones(connections: Connections) -> int:
    async with connections.session() as session:
        found = await rows(session, "SELECT count(*) FROM projector_g1.cart_items WHERE deleted")
    return int(found[0][0])


async def drained(sink: PostgresSink, grant: Grant, batches: int = IN_FLIGHT) -> None:
    for number in range(batches):
        await apply(sink, grant, at=100 + number)


async def test_tombstone_stays_while_an_older_page_may_be_in_flight(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(tombstone("a", "1", 5), line("a", "2", 6)))
    for _ in range(IN_FLIGHT - 1):
        await drained(sink, grant, 1)
        assert await purge_tombstones(connections) == 0
    await drained(sink, grant, 1)
    assert await purge_tombstones(connections) == 1
    assert len((await views(connections))["cart_items"]) == 1


async def test_tombstone_stays_while_a_replay_is_open(
    connections: Connections, sink: PostgresSink
) -> None:
    grant = await begun(sink, mark=100)
    await apply(sink, grant, page(tombstone("a", "1", 5)))
    await drained(sink, grant)
    assert await purge_tombstones(connections) == 0
    await sink.verdicts.finish_replay(grant)
    assert await purge_tombstones(connections) == 1


async def test_new_owner_has_to_commit_first(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(tombstone("a", "1", 5)))
    next_owner = await sink.open(claim(owner="host-b"))
    assert await purge_tombstones(connections) == 0
    next_owner = await sink.begin(next_owner, Beginning(position=position(5)))
    assert await purge_tombstones(connections) == 0
    await drained(sink, next_owner, 1)
    assert await purge_tombstones(connections) == 1


async def test_children_purge_what_their_parent_left(
    connections: Connections, sink: PostgresSink
) -> None:
    parent = await begun(sink)
    await apply(sink, parent, page(*(tombstone(f"cart {n}", "1", n + 1) for n in range(10))))
    left = await sink.open(claim("1", LEFT))
    await drained(sink, left, 1)
    gone = await purge_tombstones(connections)
    assert 0 < gone < 10
    right = await sink.open(claim("2", RIGHT))
    await drained(sink, right, 1)
    assert await purge_tombstones(connections, limit=2) == 2
    assert await purge_tombstones(connections) == 10 - gone - 2
    assert await tombstones(connections) == 0


async def test_verdict_read_before_a_purge_cannot_resurrect(
    connections: Connections, sink: PostgresSink
) -> None:
    verdicts = VerdictStore(connections, generation=FIRST_GENERATION)
    grant = await begun(sink)
    mark = await verdicts.read_mark(grant.range_id)
    assert mark is not None
    found = line("a", "1", 4)  # read now, written much later
    await apply(sink, grant, page(tombstone("a", "1", 5)))
    await drained(sink, grant)
    assert await purge_tombstones(connections) == 1
    verdict = Verdict(key=DocumentKey(partition_key='"a"', id="1"), lsn=4, write=found)
    assert await verdicts.apply_repairs(grant, mark, [verdict]) is None
    assert (await views(connections))["cart_items"] == set()


class Host:
    """One range as a host drives it, and the container behind it.

    A page holds what the feed had when its read began; at most two batches wait and one page is in
    the reader's hand. A document that is deleted outright leaves the feed without a trace; point
    reads find it absent and write that beside the pages that still hold it.
    """

    def __init__(self, sink: PostgresSink, grant: Grant, draw: random.Random) -> None:
        self.sink, self.grant, self.draw = sink, grant, draw
        self.feed: dict[str, tuple[int, bool]] = {}
        self.vanished: set[str] = set()
        self.in_flight: list[dict[str, tuple[int, bool]]] = []
        self.lsn = self.read_to = 0

    async def write(self) -> None:
        self.lsn += 1
        name = f"d{self.draw.randint(0, 3)}"
        self.feed[name] = (self.lsn, self.draw.random() < 0.4)
        self.vanished.discard(name)

    async def vanish(self) -> None:
        self.lsn += 1
        if self.feed:
            name = self.draw.choice(sorted(self.feed))
            del self.feed[name]
            self.vanished.add(name)

    async def read(self) -> None:
        if len(self.in_flight) < 3:
            found = {name: entry for name, entry in self.feed.items() if entry[0] > self.read_to}
            self.in_flight.append(found)
            self.read_to = max([self.read_to, *(at for at, _ in found.values())])

    async def commit(self) -> None:
        if self.in_flight:
            writes = [
                tombstone("a", name, at) if deleted else line("a", name, at)
                for name, (at, deleted) in self.in_flight.pop(0).items()
            ]
            await apply(self.sink, self.grant, page(*writes), at=self.lsn)

    async def confirm(self) -> None:
        verdicts = [
            Verdict(
                key=DocumentKey(partition_key='"a"', id=name),
                lsn=self.lsn,
                write=tombstone("a", name, self.lsn),
            )
            for name in sorted(self.vanished)
        ]
        mark = await self.sink.verdicts.mark(self.grant)
        await self.sink.verdicts.apply_verdicts(self.grant, mark=mark, verdicts=verdicts)

    async def reopen(self) -> None:
        if self.draw.random() < 0.2:
            self.grant = await self.sink.open(claim())
            self.grant = await self.sink.begin(self.grant, Beginning(position=NOWHERE))
            self.read_to, self.in_flight = 0, []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 5, 9])
async def test_purging_at_any_time_never_brings_back_what_is_gone(
    connections: Connections, sink: PostgresSink, seed: int
) -> None:
    host = Host(sink, await begun(sink), random.Random(seed))
    steps = [host.write, host.write, host.vanish, host.read, host.read, host.commit, host.confirm]
    for _ in range(70):
        await host.draw.choice([*steps, host.reopen])()
        if host.draw.random() < 0.5:
            await purge_tombstones(connections)
    await host.confirm()
    for _ in range(4):
        await host.commit()
        await host.read()
        await purge_tombstones(connections)
    live = {name for name, (_, deleted) in host.feed.items() if not deleted}
    assert {row[1] for row in (await views(connections))["cart_items"]} == live


async def test_empty_totals_go(connections: Connections, sink: PostgresSink, grant: Grant) -> None:
    await apply(sink, grant, page(line("a", "1", 1), line("b", "1", 2, item="Pen")))
    await apply(sink, grant, page(tombstone("a", "1", 3)))
    before = await views(connections)
    assert await purge_empty_totals(connections) == 2
    assert await purge_empty_totals(connections) == 0
    assert await views(connections) == before
    await apply(sink, grant, page(line("a", "1", 4)))
    assert ("Surface", 1, 1) in (await views(connections))["item_totals"]


async def test_closed_entries_go_by_age(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(tombstone("a", "1", 3), rejections=[rejection("a", "1", 3)]))
    await apply(sink, grant, page(line("a", "1", 4)))
    assert await purge_closed_entries(connections, age=timedelta(hours=1)) == 0
    assert await purge_closed_entries(connections, age=timedelta()) == 1


async def test_one_host_at_a_time_has_its_turn(connections: Connections) -> None:
    async with turn(connections, "purge") as mine:
        assert mine is not None
        async with turn(connections, "purge") as other, turn(connections, "verify") as different:
            assert other is None
            assert different is not None
        mine.result["purged"] = 3
    async with turn(connections, "purge") as again:
        assert again is not None


async def test_the_turn_of_a_host_that_died_is_given_to_another(connections: Connections) -> None:
    async with turn(connections, "purge") as dead:
        assert dead is not None
        async with connections.session() as session:
            await session.execute(
                "UPDATE projector.housekeeping_runs SET held_until = now() - interval '1 second'"
            )
        async with turn(connections, "purge") as mine:
            assert mine is not None
    (run,) = await housekeeping_runs(connections)
    assert run.last_error is None


async def test_a_turn_is_due_after_success_and_failure_alike(connections: Connections) -> None:
    hour = timedelta(hours=1)
    async with turn(connections, "purge", every=hour, again=hour) as first:
        assert first is not None
    async with turn(connections, "purge", every=hour, again=hour) as second:
        assert second is None
    with pytest.raises(ValueError, match="no answer"):
        async with turn(connections, "purge"):
            raise ValueError("no answer")
    async with turn(connections, "purge", every=timedelta(0), again=hour) as after_failure:
        assert after_failure is None
    async with turn(connections, "purge", every=timedelta(0)) as again:
        assert again is not None


async def test_success_and_failure_are_recorded_apart(connections: Connections) -> None:
    async with turn(connections, "verify") as running:
        assert running is not None
        running.result["drift"] = 0
    with pytest.raises(ValueError, match="no answer"):
        async with turn(connections, "verify"):
            raise ValueError("no answer")
    (run,) = await housekeeping_runs(connections)
    assert run.last_error == "ValueError: no answer"
    assert run.result == {"drift": 0}
    assert run.last_success_at is not None
