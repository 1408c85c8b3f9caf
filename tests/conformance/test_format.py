"""Checks 1 to 11: the lease document. Its bytes in a container are checked over HTTP elsewhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from projector.core.errors import ConfigurationError
from projector.core.lease import Lease
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.cosmos.lease_documents import document_of, lease_id, lease_of, lease_prefix

PREFIX = lease_prefix(
    processor_name="myproc", endpoint_host="acct.documents.azure.com", container_rid="b0wPAK3lXxQ="
)


def named(token: str, **changes: Any) -> Lease:
    made: dict[str, Any] = {"feed_range": FULL_RANGE} | changes
    return Lease(id=lease_id(PREFIX, LeaseToken(token)), token=LeaseToken(token), **made)


def test_check_001_new_partition_lease() -> None:
    document = document_of(named("0"))
    assert document == {
        "id": "myprocacct.documents.azure.com_b0wPAA==_b0wPAK3lXxQ=..0",
        "version": 0,
        "_etag": None,
        "LeaseToken": "0",
        "FeedRange": {"Range": {"min": "", "max": "FF"}},
        "Owner": None,
        "ContinuationToken": None,
        "properties": {},
        "timestamp": None,
        "_ts": 0,
        "Mode": "Incremental Feed",
        "ttl": -1,  # ours alone: .NET does not know it, and leaves it out when it writes
    }


def test_check_002_lease_id_is_composed_of_names_and_rids_alone() -> None:
    mine = document_of(named("0", owner=InstanceName("one")))
    other = document_of(named("0", owner=InstanceName("another")))
    assert mine["id"] == other["id"] == f"{PREFIX}..0"


def test_check_003_key_lease_of_everything() -> None:
    document = document_of(named("-FF", version=1))
    assert (document["LeaseToken"], document["version"]) == ("-FF", 1)
    assert document["FeedRange"] == {"Range": {"min": "", "max": "FF"}}
    assert "PartitionId" not in document


def test_check_005_round_trip_keeps_the_bytes_of_the_bookmark() -> None:
    lease = named(
        "0",
        owner=InstanceName("host-1"),
        continuation=Continuation('"1543"'),
        properties={"a": "b"},
        timestamp=datetime(2026, 5, 1, tzinfo=UTC),
        etag='"e"',
    )
    text = json.dumps(document_of(lease))
    assert '"ContinuationToken": "\\"1543\\""' in text
    assert lease_of(json.loads(text)) == lease


@pytest.mark.parametrize(
    ("fields", "version"),
    [({}, 0), ({"version": 0}, 0), ({"version": 1}, 1), ({"version": 7}, 0)],
    ids=["absent", "0", "1", "unknown"],
)
@pytest.mark.parametrize("empty", [{}, {"FeedRange": None, "properties": None}], ids=str)
def test_check_006_version_and_nulls(
    fields: dict[str, Any], version: int, empty: dict[str, Any]
) -> None:
    lease = lease_of({"id": "p..0", "LeaseToken": "0"} | fields | empty)
    assert (lease.version, lease.feed_range, dict(lease.properties)) == (version, None, {})


def test_check_007_migrated_lease_bears_both_names_after_a_write() -> None:
    written = document_of(lease_of({"id": "p..7", "PartitionId": "7"}))
    assert written["LeaseToken"] == written["PartitionId"] == "7"


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (None, datetime(2026, 5, 1, 12, 34, 56, tzinfo=UTC)),
        ("2026-06-01T00:00:00Z", datetime(2026, 6, 1, tzinfo=UTC)),
    ],
    ids=["null", "present"],
)
def test_check_008_time_of_the_service_stands_in(timestamp: str | None, expected: datetime) -> None:
    document = {"id": "p..0", "LeaseToken": "0", "timestamp": timestamp, "_ts": 1777638896}
    assert lease_of(document).timestamp == expected


JAVA_STATE = "eyJWIjoxLCJSaWQiOiJiMHdQQUszbFh4UT0iLCJNb2RlIjoiSU5DUkVNRU5UQUwifQ=="


def test_check_010_lease_of_java_is_refused_by_name() -> None:
    document = {
        "id": "p..-FF",
        "version": 1,
        "LeaseToken": "-FF",
        "feedRange": {"Range": {"min": "", "max": "FF"}},
        "ContinuationToken": JAVA_STATE,
    }
    with pytest.raises(ConfigurationError, match=r"p\.\.-FF.*another SDK"):
        lease_of(document)
    assert lease_of(document | {"ContinuationToken": None}).feed_range == FULL_RANGE


def test_check_011_times_of_net_are_read_and_ours_end_in_z() -> None:
    document = {"id": "p..0", "LeaseToken": "0", "timestamp": "2026-05-01T12:34:56.1234567Z"}
    read = lease_of(document)
    assert read.timestamp == datetime(2026, 5, 1, 12, 34, 56, 123456, tzinfo=UTC)
    assert document_of(read)["timestamp"].endswith("Z")
