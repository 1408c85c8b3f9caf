from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from projector.core.errors import ConfigurationError
from projector.core.lease import Lease
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, MAX_EPK, FeedRange
from projector.cosmos.lease_documents import (
    database_rid,
    document_of,
    format_time,
    lease_id,
    lease_of,
    lease_prefix,
    parse_time,
)

WRITTEN_AT = datetime(2026, 5, 1, 12, 34, 56, 123456, tzinfo=UTC)
NET_V0 = (
    '{"id":"myprocacct.documents.azure.com_b0wPAA==_b0wPAK3lXxQ=..0","version":0,'
    '"_etag":"\\"0000-1\\"","LeaseToken":"0","FeedRange":{"Range":{"min":"","max":"FF"}},'
    '"Owner":"host-1","ContinuationToken":"\\"1543\\"","properties":{},'
    '"timestamp":"2026-05-01T12:34:56.1234567Z","_ts":1777638896,"Mode":"Incremental Feed"}'
)
NET_V1 = (
    '{"id":"p..05C1D0-FF","version":1,"LeaseToken":"05C1D0-FF",'
    '"FeedRange":{"Range":{"min":"05C1D0","max":"FF"}},"Owner":null,'
    '"ContinuationToken":"\\"1543\\"","properties":{"a":"b"},"timestamp":null,"_ts":0,'
    '"Mode":"Incremental Feed"}'
)


def lease(**changes: Any) -> dict[str, Any]:
    """A small good document with changes; None removes nothing, it is a value."""
    return {"id": "p..0", "LeaseToken": "0"} | changes


def test_check_002_prefix_is_that_of_net() -> None:
    prefix = lease_prefix(
        processor_name="myproc",
        endpoint_host="Acct.documents.azure.com",
        container_rid="b0wPAK3lXxQ=",
    )
    assert prefix == "myprocacct.documents.azure.com_b0wPAA==_b0wPAK3lXxQ="
    assert lease_id(prefix, LeaseToken("0")) == f"{prefix}..0"


@pytest.mark.parametrize(
    ("container", "database"),
    [("b0wPAK3lXxQ=", "b0wPAA=="), ("jFcSAI55Ns0=", "jFcSAA=="), ("-f3--9I6Qtw=", "-f3--w==")],
)
def test_database_rid_is_the_first_half_of_the_containers(container: str, database: str) -> None:
    assert database_rid(container) == database


@pytest.mark.parametrize("text", ["", "cart", "b0wPAA==", "b0wPAK3lXxQ=b0wP", "!!!!"])
def test_text_that_is_no_container_rid_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        database_rid(text)


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a?", "#"])
def test_processor_name_that_no_id_may_hold_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="PROJECTOR_PROCESSOR_NAME"):
        lease_prefix(processor_name=name, endpoint_host="h", container_rid="b0wPAK3lXxQ=")


def test_v0_lease_of_net_is_understood_field_by_field() -> None:
    assert lease_of(json.loads(NET_V0)) == Lease(
        id="myprocacct.documents.azure.com_b0wPAA==_b0wPAK3lXxQ=..0",
        token=LeaseToken("0"),
        version=0,
        feed_range=FULL_RANGE,
        owner=InstanceName("host-1"),
        continuation=Continuation('"1543"'),
        timestamp=WRITTEN_AT,
        etag='"0000-1"',
    )


@pytest.mark.parametrize("text", [NET_V0, NET_V1], ids=["v0", "v1"])
def test_check_005_lease_is_written_back_byte_for_byte_but_for_times_and_etag(
    text: str,
) -> None:
    original = json.loads(text)
    written = document_of(lease_of(original))
    for moving in ("timestamp", "_ts", "_etag"):
        original.pop(moving, None)
        written.pop(moving)
    assert written.pop("ttl") == -1
    assert json.dumps(written, separators=(",", ":")) == json.dumps(original, separators=(",", ":"))


def test_check_001_new_lease_has_every_field_in_the_order_of_the_format() -> None:
    made = Lease(id="p..0", token=LeaseToken("0"), feed_range=FULL_RANGE, timestamp=WRITTEN_AT)
    assert json.dumps(document_of(made), separators=(",", ":")) == (
        '{"id":"p..0","version":0,"_etag":null,"LeaseToken":"0",'
        '"FeedRange":{"Range":{"min":"","max":"FF"}},"Owner":null,"ContinuationToken":null,'
        '"properties":{},"timestamp":"2026-05-01T12:34:56.1234560Z","_ts":0,'
        '"Mode":"Incremental Feed","ttl":-1}'
    )


def test_a_default_time_to_live_takes_no_lease_away() -> None:
    assert document_of(lease_of(lease(ttl=60)))["ttl"] == -1


def test_fields_of_other_writers_stay_and_those_of_the_service_go() -> None:
    document = lease(PartitionId="0", Extra={"a": [1]}, _rid="r", _self="s", _attachments="a")
    written = document_of(lease_of(document))
    assert written["Extra"] == {"a": [1]}
    assert list(written)[3:5] == ["LeaseToken", "PartitionId"]
    assert not {"_rid", "_self", "_attachments"} & set(written)


def test_check_007_migrated_lease_is_named_by_its_partition_id_and_keeps_it() -> None:
    read = lease_of({"id": "p..7", "PartitionId": "7"})
    written = document_of(read)
    assert read.token == written["LeaseToken"] == written["PartitionId"] == "7"


@pytest.mark.parametrize(
    "empty", [{}, {"FeedRange": None, "properties": None, "version": 7}], ids=["absent", "null"]
)
def test_check_006_absent_fields_have_the_defaults_of_old_writers(empty: dict[str, Any]) -> None:
    read = lease_of(lease(**empty))
    assert (read.version, read.feed_range, read.owner, read.continuation) == (0, None, None, None)
    assert (read.mode, read.timestamp, dict(read.properties)) == (None, None, {})


@pytest.mark.parametrize("name", ["FeedRange", "feedRange"])
def test_feed_range_is_read_in_either_spelling_and_written_in_one(name: str) -> None:
    read = lease_of(lease(**{name: {"Range": {"min": "05", "max": "FF", "isMinInclusive": True}}}))
    assert read.feed_range == FeedRange(min="05", max="FF")
    assert [key for key in document_of(read) if key.lower() == "feedrange"] == ["FeedRange"]


@pytest.mark.parametrize(
    ("token", "keys"), [("-FF", FULL_RANGE), ("05-FF", FeedRange(min="05", max="FF"))]
)
def test_check_003_v1_lease_without_feed_range_has_that_of_its_token(
    token: str, keys: FeedRange
) -> None:
    read = lease_of(lease(id=f"p..{token}", LeaseToken=token, version=1))
    assert read.feed_range == keys
    assert "PartitionId" not in document_of(read)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        pytest.param("2026-05-01T12:34:56.1234567Z", WRITTEN_AT, id="seven digits"),
        pytest.param("2026-05-01T12:34:56.123456789Z", WRITTEN_AT, id="nine digits"),
        pytest.param("2026-05-01T12:34:56.123456+00:00", WRITTEN_AT, id="offset"),
        pytest.param("2026-05-01T14:34:56.123456+02:00", WRITTEN_AT, id="other zone"),
        pytest.param("2026-05-01T12:34:56.123456Z[UTC]", WRITTEN_AT, id="zone name of Java"),
        pytest.param("2026-05-01T12:34:56.123456", WRITTEN_AT, id="no zone"),
        pytest.param("2026-05-01T12:34:56Z", WRITTEN_AT.replace(microsecond=0), id="no fraction"),
        pytest.param(
            "2026-05-01T12:34:56.1Z", WRITTEN_AT.replace(microsecond=100_000), id="one digit"
        ),
        pytest.param("yesterday", None, id="no time"),
        pytest.param("", None, id="empty"),
    ],
)
def test_times_of_net_and_java_are_understood(text: str, time: datetime | None) -> None:
    assert parse_time(text) == time


def test_check_011_time_is_written_in_utc_with_seven_digits() -> None:
    there = WRITTEN_AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert format_time(there) == "2026-05-01T12:34:56.1234560Z"


@pytest.mark.parametrize("text", [None, "no time", 5])
def test_check_008_time_of_the_service_stands_in_for_a_missing_one(text: object) -> None:
    read = lease_of(lease(timestamp=text, _ts=1777638896))
    assert read.timestamp == WRITTEN_AT.replace(microsecond=0)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param([], "not a JSON object", id="list"),
        pytest.param({"id": "p..0"}, "no LeaseToken", id="no token"),
        pytest.param({"LeaseToken": "0"}, "no id", id="no id"),
        pytest.param(lease(Owner=5), "Owner", id="owner is a number"),
        pytest.param(lease(ContinuationToken=5), "ContinuationToken", id="token is a number"),
        pytest.param(
            lease(ContinuationToken="eyJWIjoxLCJSaWQiOiJhIn0="), "another SDK", id="Java state"
        ),
        pytest.param(lease(FeedRange={"Range": {"min": "FF", "max": ""}}), "FeedRange", id="range"),
        pytest.param(
            lease(FeedRange={"Range": {"min": "", "max": "FF", "isMaxInclusive": True}}),
            "unusual",
            id="inclusive end",
        ),
        pytest.param(
            lease(FeedRange={"Range": {"min": "", "max": "ZZ"}}), "no keys", id="beyond the end"
        ),
        pytest.param(
            lease(FeedRange={"Range": {"min": "05c1", "max": "FF"}}), "no keys", id="no such key"
        ),
    ],
)
def test_check_010_broken_lease_is_named_with_what_is_wrong(document: object, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        lease_of(document)
    if isinstance(document, dict) and document.get("id"):
        assert document["id"] in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)
FIELDS = [
    "id",
    "version",
    "LeaseToken",
    "FeedRange",
    "feedRange",
    "Owner",
    "ContinuationToken",
    "properties",
    "timestamp",
    "_ts",
    "Mode",
    "_etag",
    "partitionKey",
    "PartitionId",
]


@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON)
    | st.fixed_dictionaries(
        {"id": st.text(min_size=1), "LeaseToken": st.text(min_size=1)},
        optional=dict.fromkeys(FIELDS[3:], JSON),
    )
    | JSON
)
def test_any_json_is_a_lease_or_refused_and_a_lease_can_be_written(document: Any) -> None:
    try:
        read = lease_of(document)
    except ConfigurationError:
        return
    again = lease_of(document_of(read))
    assert again == read


def leases() -> st.SearchStrategy[Lease]:
    epk = st.text("0123456789ABCDEF", min_size=2, max_size=32).filter(lambda key: key <= MAX_EPK)
    ranges = st.tuples(epk, epk).filter(lambda pair: pair[0] != pair[1])
    return st.builds(
        Lease,
        id=st.text(min_size=1),
        token=st.text(min_size=1).filter(lambda text: "-" not in text).map(LeaseToken),
        version=st.sampled_from([0, 1]),
        feed_range=st.none() | ranges.map(lambda pair: FeedRange(min=min(pair), max=max(pair))),
        owner=st.none() | st.text(min_size=1).map(InstanceName),
        continuation=st.none() | st.integers(min_value=0).map(lambda lsn: Continuation(f'"{lsn}"')),
        properties=st.dictionaries(st.text(), st.text(), max_size=3),
        timestamp=st.none() | st.datetimes(timezones=st.just(UTC)),
        mode=st.none() | st.text(),
        partition_key=st.none() | st.text(),
        etag=st.none() | st.text(),
    )


@given(leases())
def test_every_lease_survives_its_document(original: Lease) -> None:
    low, dash, high = original.token.partition("-")
    # A version 1 lease without a range has that of its token, if its token is one.
    assume(original.version == 0 or original.feed_range is not None or not dash or low < high)
    document = json.loads(json.dumps(document_of(original)))
    read = lease_of(document)
    if original.version == 1 and original.feed_range is None:
        assert read.token == original.token  # its range is that of its token
    else:
        assert read == original
