"""What every `LeaseStore` and `BootstrapMarkers` must do, the real ones and the fakes alike.

A subclass offers the fixture `world`: an empty lease container with the stores of two hosts of
one processor and of another processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from projector.core.errors import LeaseConflict, LeaseMissing
from projector.core.lease import Lease
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.ports.feed import BootstrapMarkers, LeaseStore

WRITTEN_AT = datetime(2026, 5, 1, 12, 34, 56, 123456, tzinfo=UTC)
LOCK_SECONDS = 30


class LeaseWorld(Protocol):
    """The lease container behind the stores under test."""

    store: LeaseStore
    markers: BootstrapMarkers
    other_host: LeaseStore
    other_markers: BootstrapMarkers
    other_processor: LeaseStore

    async def wipe(self) -> None:
        """Delete the lease container with all that is in it."""

    async def advance(self, seconds: float) -> None:
        """Let time pass for the service and for the hosts."""


def new_lease(token: str = "0", **changes: Any) -> Lease:
    """A free lease as the bootstrap makes it."""
    made: Mapping[str, Any] = {"feed_range": FULL_RANGE} | changes
    return Lease(id="", token=LeaseToken(token), **made)


def without_storage(lease: Lease) -> Lease:
    """The lease without what the store adds to it."""
    return replace(lease, id="", etag=None, partition_key=None)


async def created(store: LeaseStore, lease: Lease) -> Lease:
    assert await store.create(lease)
    return await store.read(lease.token)


class LeaseStoreContract:
    """Subclass it with a fixture `world`."""

    @pytest.mark.parametrize(
        "lease",
        [
            pytest.param(new_lease(), id="v0 as bootstrapped"),
            pytest.param(new_lease(feed_range=None, mode=None), id="v0 of an old writer"),
            pytest.param(
                new_lease(
                    "05C1D0-FF",
                    version=1,
                    feed_range=FeedRange(min="05C1D0", max="FF"),
                    owner=InstanceName("host-1"),
                    continuation=Continuation('"1543"'),
                    properties={"startFrom": "beginning", "delivered": "true"},
                    timestamp=WRITTEN_AT,
                    unknown={"PartitionId": "05C1D0-FF", "note": {"kept": [1, None]}},
                ),
                id="v1 in use",
            ),
        ],
    )
    async def test_lease_is_read_as_it_was_written(self, world: LeaseWorld, lease: Lease) -> None:
        assert await world.store.create(lease)
        for found in (
            await world.store.read(lease.token),
            await world.other_host.read(lease.token),
            *await world.store.list_leases(),
        ):
            assert found.etag
            read = without_storage(found)
            if lease.timestamp is None:  # the service's own time may stand in
                read = replace(read, timestamp=None)
            assert read == lease

    async def test_second_lease_of_a_token_is_not_created(self, world: LeaseWorld) -> None:
        assert await world.store.create(new_lease(continuation=Continuation('"1"')))
        assert not await world.other_host.create(new_lease(continuation=Continuation('"2"')))
        assert (await world.store.read(LeaseToken("0"))).continuation == '"1"'

    async def test_replace_gives_an_etag_to_go_on_with(self, world: LeaseWorld) -> None:
        lease = await created(world.store, new_lease())
        for number in range(3):
            renewed = await world.store.replace(
                replace(lease, continuation=Continuation(f'"{number}"'))
            )
            assert renewed.etag != lease.etag
            lease = renewed
        assert await world.store.read(lease.token) == replace(
            lease, timestamp=(await world.store.read(lease.token)).timestamp
        )

    async def test_replace_of_a_changed_lease_conflicts_and_overwrites_nothing(
        self, world: LeaseWorld
    ) -> None:
        stale = await created(world.store, new_lease())
        await world.other_host.replace(replace(stale, owner=InstanceName("host-2")))
        with pytest.raises(LeaseConflict):
            await world.store.replace(replace(stale, owner=InstanceName("host-1")))
        assert (await world.store.read(stale.token)).owner == "host-2"

    async def test_deleted_lease_is_missing(self, world: LeaseWorld) -> None:
        lease = await created(world.store, new_lease())
        await world.other_host.delete(lease)
        await world.store.delete(lease)
        with pytest.raises(LeaseMissing):
            await world.store.read(lease.token)
        with pytest.raises(LeaseMissing):
            await world.store.replace(lease)
        assert list(await world.store.list_leases()) == []

    async def test_delete_takes_whatever_version_there_is(self, world: LeaseWorld) -> None:
        stale = await created(world.store, new_lease())
        await world.other_host.replace(replace(stale, owner=InstanceName("host-2")))
        await world.store.delete(stale)
        assert list(await world.store.list_leases()) == []

    async def test_processors_do_not_see_each_other(self, world: LeaseWorld) -> None:
        assert await world.store.create(new_lease("0"))
        assert await world.other_processor.create(new_lease("0"))
        assert await world.other_processor.create(new_lease("1"))
        assert [one.token for one in await world.store.list_leases()] == ["0"]
        assert [one.token for one in await world.other_processor.list_leases()] == ["0", "1"]

    async def test_check_009_list_shows_neither_marker_nor_lock(self, world: LeaseWorld) -> None:
        await world.markers.mark_initialized()
        assert await world.markers.acquire_lock(seconds=LOCK_SECONDS)
        assert await world.store.create(new_lease())
        assert [one.token for one in await world.store.list_leases()] == ["0"]

    async def test_marker_stays_once_written(self, world: LeaseWorld) -> None:
        assert not await world.markers.is_initialized()
        await world.markers.mark_initialized()
        await world.other_markers.mark_initialized()
        assert await world.other_markers.is_initialized()

    async def test_lock_has_one_holder(self, world: LeaseWorld) -> None:
        assert await world.markers.acquire_lock(seconds=LOCK_SECONDS)
        assert not await world.other_markers.acquire_lock(seconds=LOCK_SECONDS)
        await world.markers.release_lock()
        assert await world.other_markers.acquire_lock(seconds=LOCK_SECONDS)

    async def test_lock_of_another_host_is_not_released(self, world: LeaseWorld) -> None:
        assert await world.markers.acquire_lock(seconds=LOCK_SECONDS)
        await world.other_markers.release_lock()
        assert not await world.other_markers.acquire_lock(seconds=LOCK_SECONDS)

    async def test_lock_left_by_a_crash_ends_by_itself(self, world: LeaseWorld) -> None:
        assert await world.markers.acquire_lock(seconds=LOCK_SECONDS)
        await world.advance(LOCK_SECONDS + 2)
        assert await world.other_markers.acquire_lock(seconds=LOCK_SECONDS)
        await world.markers.release_lock()  # too late: it is no longer ours
        assert not await world.markers.acquire_lock(seconds=LOCK_SECONDS)

    async def test_deleted_container_is_empty_and_comes_back(self, world: LeaseWorld) -> None:
        lease = await created(world.store, new_lease())
        await world.markers.mark_initialized()
        await world.wipe()
        with pytest.raises(LeaseMissing):
            await world.store.replace(lease)
        with pytest.raises(LeaseMissing):
            await world.store.read(lease.token)
        await world.store.delete(lease)
        assert not await world.markers.is_initialized()
        assert list(await world.store.list_leases()) == []
        assert await world.other_host.create(new_lease())
        assert [one.token for one in await world.store.list_leases()] == ["0"]
