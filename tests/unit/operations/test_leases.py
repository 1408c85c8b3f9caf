from __future__ import annotations

from datetime import UTC, datetime

import pytest

from projector.core.errors import ConfigurationError, LeaseConflict
from projector.core.lease import Lease
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.operations.leases import chosen, forget, release
from tests.fakes.clock import FakeClock
from tests.fakes.leases import FakeLeaseContainer, FakeLeaseStore

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def lease(token: str, owner: str | None = "host") -> Lease:
    return Lease(
        id=token,
        token=LeaseToken(token),
        owner=None if owner is None else InstanceName(owner),
        continuation=Continuation('"7"'),
        properties={"startFrom": "now"},
    )


def stored(*leases: Lease) -> tuple[FakeLeaseContainer, FakeLeaseStore]:
    container = FakeLeaseContainer(FakeClock())
    for one in leases:
        container.write(one)
    return container, FakeLeaseStore(container)


async def test_a_release_takes_the_owner_and_leaves_the_bookmark() -> None:
    container, store = stored(lease("0"), lease("1", owner=None))
    done = await release(store, await store.list_leases(), now=NOW)
    assert [one.changed for one in done] == [True, False]
    assert done[0].lease.owner == "host"
    assert container.leases[LeaseToken("0")].owner is None
    assert container.leases[LeaseToken("0")].continuation == '"7"'


async def test_a_reset_takes_owner_bookmark_and_properties() -> None:
    container, store = stored(lease("0"))
    await forget(store, await store.list_leases(), now=NOW)
    after = container.leases[LeaseToken("0")]
    assert (after.owner, after.continuation, dict(after.properties)) == (None, None, {})


async def test_a_reset_that_meets_another_write_is_done_on_the_fresh_lease() -> None:
    container, store = stored(lease("0"))
    found = await store.list_leases()
    container.write(lease("0", owner="thief"))
    store.faults.plan("replace", LeaseConflict("taken"), times=2)
    done = await forget(store, found, now=NOW)
    assert done[0].lease.owner == "thief"
    assert container.leases[LeaseToken("0")].owner is None


async def test_a_lease_that_is_written_all_the_time_is_given_up() -> None:
    _, store = stored(lease("0"))
    store.faults.plan("replace", LeaseConflict("taken"), times=99)
    with pytest.raises(LeaseConflict, match="try again"):
        await forget(store, await store.list_leases(), now=NOW)


async def test_a_lease_that_vanished_needs_nothing() -> None:
    container, store = stored(lease("0"))
    found = await store.list_leases()
    container.clear()
    assert [one.changed for one in await forget(store, found, now=NOW)] == [False]


def test_all_leases_are_meant_unless_one_is_named() -> None:
    both = [lease("0"), lease("1")]
    assert chosen(both, None) == both
    assert chosen(both, "1") == [both[1]]


def test_an_unknown_token_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="no lease '7'; the lease tokens are: 0, 1"):
        chosen([lease("0"), lease("1")], "7")
