from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from projector.core.errors import LeaseLost
from projector.core.lease import (
    DELIVERED_PROPERTY,
    START_FROM_PROPERTY,
    Lease,
    acquire,
    checkpoint,
    release,
    renew,
    reset,
)
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
ME, OTHER = InstanceName("me"), InstanceName("other")
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
MINE = replace(FREE, owner=ME)


def test_acquiring_changes_owner_and_time_alone() -> None:
    assert acquire(FREE, name=ME, seen_owner=None, now=LATER) == replace(
        FREE, owner=ME, timestamp=LATER
    )
    stolen = acquire(MINE, name=OTHER, seen_owner=ME, now=LATER)
    assert stolen == replace(MINE, owner=OTHER, timestamp=LATER)


@pytest.mark.parametrize(("lease", "seen"), [(MINE, None), (FREE, OTHER), (MINE, OTHER)])
def test_lease_is_not_acquired_from_anybody_but_the_owner_seen(
    lease: Lease, seen: InstanceName | None
) -> None:
    with pytest.raises(LeaseLost, match="taken"):
        acquire(lease, name=InstanceName("third"), seen_owner=seen, now=LATER)


def test_renewing_changes_the_time_alone() -> None:
    assert renew(MINE, name=ME, written=PLACE, now=LATER) == replace(MINE, timestamp=LATER)


def test_checkpoint_changes_bookmark_properties_and_time() -> None:
    properties = {START_FROM_PROPERTY: "beginning", DELIVERED_PROPERTY: "true"}

    found = checkpoint(
        MINE, name=ME, written=PLACE, continuation=NEXT, properties=properties, now=LATER
    )

    assert found == replace(MINE, continuation=NEXT, properties=properties, timestamp=LATER)


def test_checkpoint_never_writes_an_empty_bookmark() -> None:
    with pytest.raises(ValueError, match="continuation"):
        checkpoint(
            MINE, name=ME, written=PLACE, continuation=Continuation(""), properties={}, now=LATER
        )


def write_checkpoint(lease: Lease) -> Lease:
    return checkpoint(lease, name=ME, written=PLACE, continuation=NEXT, properties={}, now=LATER)


def write_renewal(lease: Lease) -> Lease:
    return renew(lease, name=ME, written=PLACE, now=LATER)


@pytest.mark.parametrize("write", [write_checkpoint, write_renewal])
@pytest.mark.parametrize(
    "lease",
    [
        pytest.param(replace(MINE, owner=OTHER), id="another owner"),
        pytest.param(FREE, id="no owner"),
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
    assert release(MINE, name=ME, now=LATER) == replace(MINE, owner=None, timestamp=LATER)


@pytest.mark.parametrize("lease", [FREE, replace(MINE, owner=OTHER)])
def test_only_the_owner_releases(lease: Lease) -> None:
    with pytest.raises(LeaseLost, match="belongs"):
        release(lease, name=ME, now=LATER)


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
    assert not MINE.owned_by(OTHER)
    assert not FREE.owned_by(ME)


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
