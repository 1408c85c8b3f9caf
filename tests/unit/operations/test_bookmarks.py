from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from projector.core.bookmarks import Move, SavedPosition, Snapshot
from projector.core.errors import ConfigurationError, LeaseStoreUnavailable, SinkUnavailable
from projector.core.lease import Lease
from projector.core.names import (
    Continuation,
    Epoch,
    InstanceName,
    LeaseToken,
    SourceIdentity,
    SourceName,
)
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.start import Position
from projector.operations.bookmarks import (
    BackSides,
    parts_from,
    prepared_reset_to,
    prepared_restore,
)
from projector.operations.leases import Sides
from projector.ports.copy import CopiedSource, TargetIdentity
from projector.ports.ranges import StoredRange
from tests.fakes.clock import FakeClock
from tests.fakes.container import FakeContainer
from tests.fakes.leases import FakeLeaseContainer, FakeLeaseStore
from tests.fakes.source import FakeChangeSource

NAME = SourceName(account="a", database="d", container="c")
TARGET = TargetIdentity(id="id", name="here")


@dataclass(kw_only=True)
class Desk:
    """A container of two partitions, its leases, and a target that notes what it is told."""

    clock: FakeClock = field(default_factory=FakeClock)
    lsn: int = 50
    read_since: datetime | None = None
    told: list[Sequence[FeedRange] | None] = field(default_factory=list)
    refuses: bool = False

    def __post_init__(self) -> None:
        self.container = FakeContainer(self.clock, partitions=2)
        self.source = FakeChangeSource(self.container, self.clock)
        self.leases = FakeLeaseContainer(self.clock)
        self.store = FakeLeaseStore(self.leases)
        for partition in self.container.partitions:
            self.leases.write(self.lease(partition.id, partition.feed_range))

    def lease(self, token: str, keys: FeedRange) -> Lease:
        return Lease(
            id=token,
            token=LeaseToken(token),
            feed_range=keys,
            owner=InstanceName("host"),
            continuation=Continuation(f'"{self.lsn}"'),
            properties={"startFrom": "now", "other": "kept"},
        )

    def sides(self) -> BackSides:
        both = Sides(
            leases=self.store,
            source=self.source,
            clock=self.clock,
            expiration_seconds=60.0,
            found=CopiedSource(rid=self.container.rid, name=NAME),
            target=TARGET,
            rid=self.container.rid,
            identity=SourceIdentity(name=NAME, key_path="/cartId", projection="carts"),
        )
        return BackSides(both=both, stored=self._stored, go_back=self._go_back)

    async def _stored(self) -> Sequence[StoredRange]:
        return [
            StoredRange(
                range_id=number,
                container_rid=self.container.rid,
                lease_token=LeaseToken(partition.id),
                processor_name="projector",
                feed_range=partition.feed_range,
                epoch=Epoch(1),
                opened_epoch=Epoch(1),
                lineage=0,
                position=Position(continuation=Continuation(f'"{self.lsn}"'), lsn=self.lsn),
                read_since=self.read_since,
            )
            for number, partition in enumerate(self.container.partitions)
        ]

    async def _go_back(self, to: Snapshot, keys: Sequence[FeedRange] | None) -> Sequence[Move]:
        if self.refuses:
            raise SinkUnavailable("down")
        self.told.append(keys)
        return []

    def saved(self, lsn: int = 40) -> Snapshot:
        position = SavedPosition(
            feed_range=FULL_RANGE,
            continuation=Continuation(f'"{lsn}"'),
            lsn=lsn,
            time=self.clock.now(),
        )
        return Snapshot(
            name="before",
            taken_at=self.clock.now(),
            container_rid=self.container.rid,
            source=NAME,
            target_id=TARGET.id,
            target_name=TARGET.name,
            positions=(position,),
        )


async def test_leases_get_the_bookmark_lose_the_owner_and_keep_the_rest() -> None:
    desk = Desk()
    going = await prepared_restore(desk.sides(), desk.saved(), token=None, from_file=True)
    assert desk.told == []  # it may still be called off
    assert [one.changed for one in await going.carry_out()] == [True, True]
    assert desk.told == [None]
    for lease in desk.leases.leases.values():
        assert (lease.owner, lease.continuation) == (None, '"40"')
        assert lease.properties == {"startFrom": "now", "delivered": "true", "other": "kept"}


async def test_one_lease_alone() -> None:
    desk = Desk()
    going = await prepared_restore(desk.sides(), desk.saved(), token="1", from_file=True)
    await going.carry_out()
    assert desk.told == [[desk.container.partitions[1].feed_range]]
    assert [lease.owner for lease in desk.leases.leases.values()] == ["host", None]


async def test_no_lease_is_written_before_the_target_has_agreed() -> None:
    desk = Desk(refuses=True)
    going = await prepared_restore(desk.sides(), desk.saved(), token=None, from_file=True)
    with pytest.raises(SinkUnavailable):
        await going.carry_out()
    assert {lease.continuation for lease in desk.leases.leases.values()} == {'"50"'}


async def test_the_target_has_gone_back_when_no_lease_can_be_written() -> None:
    desk = Desk()
    going = await prepared_restore(desk.sides(), desk.saved(), token=None, from_file=True)
    desk.store.faults.plan("replace", LeaseStoreUnavailable("503"), times=9)
    with pytest.raises(LeaseStoreUnavailable):
        await going.carry_out()
    assert desk.told == [None]


async def test_missing_leases_are_made_and_say_since_when_their_keys_were_read() -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    desk = Desk(read_since=since)
    desk.leases.clear()
    going = await prepared_restore(desk.sides(), desk.saved(), token=None, from_file=True)
    assert [lease.token for lease in going.missing] == ["0", "1"]
    assert all(done.changed for done in await going.carry_out())
    for lease in desk.leases.leases.values():
        assert (lease.continuation, lease.anchored_from) == ('"40"', None)
        assert lease.properties["startFrom"] == since.isoformat()


async def test_nothing_is_planned_where_one_range_would_go_forward() -> None:
    desk = Desk(lsn=30)
    with pytest.raises(ConfigurationError, match="has come to LSN 30, which is before 40"):
        await prepared_restore(desk.sides(), desk.saved(), token=None, from_file=True)


async def test_a_file_is_for_its_database_and_what_the_target_keeps_moves_with_it() -> None:
    desk = Desk()
    other = replace(desk.saved(), target_id="other")
    with pytest.raises(ConfigurationError, match="saved for another database, other here"):
        await prepared_restore(desk.sides(), other, token=None, from_file=True)
    await prepared_restore(desk.sides(), other, token=None, from_file=False)


async def test_a_time_is_a_place_of_each_partition() -> None:
    desk = Desk()
    for number in range(20):
        desk.container.put(f"old-{number}")
    ends = [partition.lsn for partition in desk.container.partitions]
    await desk.clock.sleep(0)
    time = desk.clock.now() + timedelta(seconds=10)
    going = await prepared_reset_to(desk.sides(), time, token=None)
    assert [position.lsn for position in going.snapshot.positions] == ends
    assert {(position.time, position.since) for position in going.snapshot.positions} == {
        (time, time)
    }
    one = await prepared_reset_to(desk.sides(), time, token="0")
    assert [position.feed_range for position in one.snapshot.positions] == [
        desk.container.partitions[0].feed_range
    ]


async def test_a_generation_begins_after_the_second_of_its_place() -> None:
    desk = Desk()
    saved = desk.saved()
    parts = await parts_from(saved, desk.container.rid, desk.source)
    assert [(part.token, part.continuation) for part in parts] == [("0", '"40"'), ("1", '"40"')]
    after = saved.taken_at + timedelta(seconds=1)
    assert {part.properties["startFrom"] for part in parts} == {after.isoformat()}
