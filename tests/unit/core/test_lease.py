from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from projector.core.errors import LeaseLost
from projector.core.lease import (
    DELIVERED_PROPERTY,
    INCARNATION_PROPERTY,
    START_FROM_PROPERTY,
    Lease,
    acquire,
    checkpoint,
    release,
    renew,
    reset,
)
from projector.core.names import Continuation, Holder, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
ME, OTHER = Holder(name=InstanceName("me")), Holder(name=InstanceName("other"))
PLACE, NEXT = Continuation('"5"'), Continuation('"9"')
FREE = Lease(
    id="id",
    token=LeaseToken("0"),
    feed_range=FULL_RANGE,
    continuation=PLACE,
    properties={START_FROM_PROPERTY: "beginning"},
    timestamp=NOW,
    etag="e",
    unknown={"hint": [1]},
)
MINE = replace(FREE, owner=ME.name)
SECOND = Holder(name=ME.name, incarnation="2")
RERUN = replace(MINE, properties={**MINE.properties, INCARNATION_PROPERTY: "2"})


def test_acquiring_changes_owner_and_time_alone() -> None:
    assert acquire(FREE, me=ME, seen=FREE, now=LATER) == replace(
        FREE, owner=ME.name, timestamp=LATER
    )
    stolen = acquire(MINE, me=OTHER, seen=MINE, now=LATER)
    assert stolen == replace(MINE, owner=OTHER.name, timestamp=LATER)


@pytest.mark.parametrize(
    ("lease", "seen"),
    [
        (MINE, FREE),
        (FREE, replace(MINE, owner=OTHER.name)),
        (MINE, replace(MINE, owner=OTHER.name)),
        (RERUN, MINE),
    ],
)
def test_lease_is_not_acquired_from_anybody_but_the_owner_seen(lease: Lease, seen: Lease) -> None:
    with pytest.raises(LeaseLost, match="taken"):
        acquire(lease, me=Holder(name=InstanceName("third")), seen=seen, now=LATER)


def test_renewing_changes_the_time_alone() -> None:
    assert renew(MINE, me=ME, written=PLACE, now=LATER) == replace(MINE, timestamp=LATER)


def test_checkpoint_changes_bookmark_properties_and_time() -> None:
    properties = {START_FROM_PROPERTY: "beginning", DELIVERED_PROPERTY: "true"}

    found = checkpoint(
        MINE, me=ME, written=PLACE, continuation=NEXT, properties=properties, now=LATER
    )

    assert found == replace(MINE, continuation=NEXT, properties=properties, timestamp=LATER)


def test_check_067_checkpoint_never_writes_an_empty_bookmark() -> None:
    with pytest.raises(ValueError, match="continuation"):
        checkpoint(
            MINE, me=ME, written=PLACE, continuation=Continuation(""), properties={}, now=LATER
        )


def write_checkpoint(lease: Lease) -> Lease:
    return checkpoint(lease, me=ME, written=PLACE, continuation=NEXT, properties={}, now=LATER)


def write_renewal(lease: Lease) -> Lease:
    return renew(lease, me=ME, written=PLACE, now=LATER)


@pytest.mark.parametrize("write", [write_checkpoint, write_renewal])
@pytest.mark.parametrize(
    "lease",
    [
        pytest.param(replace(MINE, owner=OTHER.name), id="another owner"),
        pytest.param(FREE, id="no owner"),
        pytest.param(RERUN, id="another run of our name"),
        pytest.param(replace(MINE, continuation=NEXT), id="bookmark moved by others"),
        pytest.param(replace(MINE, continuation=None), id="bookmark reset"),
        pytest.param(reset(MINE, now=NOW), id="lease reset"),
    ],
)
def test_what_others_changed_is_never_overwritten(
    write: Callable[[Lease], Lease], lease: Lease
) -> None:
    with pytest.raises(LeaseLost):
        write(lease)


def test_release_keeps_the_bookmark() -> None:
    assert release(MINE, me=ME, now=LATER) == replace(MINE, owner=None, timestamp=LATER)


@pytest.mark.parametrize("lease", [FREE, replace(MINE, owner=OTHER.name)])
def test_only_the_owner_releases(lease: Lease) -> None:
    with pytest.raises(LeaseLost, match="belongs"):
        release(lease, me=ME, now=LATER)


def test_lease_tells_which_run_of_its_owner_holds_it() -> None:
    taken = acquire(MINE, me=SECOND, seen=MINE, now=LATER)
    assert taken.held_by(SECOND)
    assert not taken.held_by(ME)
    assert taken.owned_by(ME.name)
    moved = checkpoint(taken, me=SECOND, written=PLACE, continuation=NEXT, properties={}, now=LATER)
    assert moved.held_by(SECOND)
    with pytest.raises(LeaseLost, match="PROJECTOR_INSTANCE_NAME"):
        release(taken, me=ME, now=LATER)


def test_reset_forgets_bookmark_owner_and_properties_and_nothing_else() -> None:
    assert reset(MINE, now=LATER) == replace(
        FREE, continuation=None, properties={}, timestamp=LATER
    )


@pytest.mark.parametrize(
    ("lease", "seconds", "expected"),
    [
        pytest.param(FREE, 0, True, id="no owner"),
        pytest.param(replace(MINE, owner=InstanceName("")), 0, True, id="empty owner"),
        pytest.param(replace(MINE, timestamp=None), 0, True, id="never renewed"),
        pytest.param(MINE, 60, False, id="just in time"),
        pytest.param(MINE, 60.001, True, id="too late"),
        pytest.param(MINE, -3600, False, id="clock of the owner is ahead"),
        pytest.param(
            replace(MINE, idle_seconds=60.0), 3600, False, id="the service says it is alive"
        ),
        pytest.param(
            replace(MINE, idle_seconds=60.1), -3600, True, id="the service says it is silent"
        ),
    ],
)
def test_lease_expires_when_it_is_not_renewed(lease: Lease, seconds: float, expected: bool) -> None:
    now = NOW + timedelta(seconds=seconds)

    assert lease.expired(now=now, expiration_seconds=60) is expected


def test_case_of_the_owner_does_not_count() -> None:
    assert MINE.owned_by(InstanceName("ME"))
    assert not MINE.owned_by(OTHER.name)
    assert not FREE.owned_by(ME.name)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, None),
        ({START_FROM_PROPERTY: "now"}, "now"),
        ({START_FROM_PROPERTY: "now", DELIVERED_PROPERTY: "true"}, None),
    ],
)
def test_lease_is_anchored_until_a_change_was_delivered(
    properties: dict[str, str], expected: str | None
) -> None:
    assert replace(MINE, properties=properties).anchored_from == expected
