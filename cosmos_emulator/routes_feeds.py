"""Answers that page through documents: the change feed, the read feed and queries.

What a request selects is a partition key range, a range of effective partition keys, a partition
key, or everything; a query over everything must say so.
Source: Cosmos DB REST API, listing and querying documents.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from cosmos_emulator import charges
from cosmos_emulator.account import Account
from cosmos_emulator.container import Container
from cosmos_emulator.cursors import FROM_THE_START, Read, Row
from cosmos_emulator.documents import encode_json
from cosmos_emulator.epk import MAXIMUM, MINIMUM
from cosmos_emulator.errors import bad_request
from cosmos_emulator.feed import (
    Beginning,
    Since,
    Start,
    nested_change,
    parse_continuation,
)
from cosmos_emulator.partition import Partition
from cosmos_emulator.querying import Query, parse_query, select_documents
from cosmos_emulator.routes_items import addressed
from cosmos_emulator.session import session_token
from cosmos_emulator.texts import moment
from cosmos_emulator.wire import (
    CONTINUATION,
    IF_NONE_MATCH,
    ITEM_COUNT,
    Answer,
    Call,
    container_headers,
    page_body,
    position_headers,
)

WIRE_FORMAT = "x-ms-cosmos-changefeed-wire-format-version"
NESTED_FORMAT = "2021-09-15"
_TIMES = (
    "totalExecutionTimeInMs",
    "queryCompileTimeInMs",
    "queryLogicalPlanBuildTimeInMs",
    "queryPhysicalPlanBuildTimeInMs",
    "queryOptimizationTimeInMs",
    "VMExecutionTimeInMs",
    "indexLookupTimeInMs",
    "documentLoadTimeInMs",
    "systemFunctionExecuteTimeInMs",
    "userFunctionExecuteTimeInMs",
    "writeOutputTimeInMs",
)
_CROSS_PARTITION = "x-ms-documentdb-query-enablecrosspartition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The partitions that a request reads, and the keys it reads of them."""

    partitions: Sequence[Partition]
    minimum: str
    maximum: str


def change_feed(account: Account, call: Call) -> Answer:
    """Returns what changed in a partition key range, or 304."""
    container = addressed(account, call)
    if call.headers["A-IM"].lower() != "incremental feed":
        raise bad_request("Only the latest-version mode of the change feed is supported.")
    range_id, minimum, maximum = _fed_range(call, container)
    version = call.headers.get(WIRE_FORMAT)
    if version not in {None, "", NESTED_FORMAT}:
        raise bad_request(f"The wire format {version!r} of the change feed is not known.")
    result = container.change_feed(
        range_id,
        _start(call),
        start_epk=minimum,
        end_epk=maximum,
        max_items=call.most_items,
        session=call.session,
    )
    headers = {
        **container_headers(container),
        **position_headers(result.session_token, result.lsn),
        "etag": result.etag,
        ITEM_COUNT: str(len(result.bodies)),
    }
    bodies = [nested_change(each) for each in result.bodies] if version else result.bodies
    body = page_body(container.rid, bodies) if bodies else b""
    return Answer(
        status=result.status, body=body, headers=headers, request_units=result.request_units
    )


def read_feed(account: Account, call: Call) -> Answer:
    """Returns all items, page by page."""
    container = addressed(account, call)
    return _page(account, call, container, _selection(call, container, anything=True), None)


def query_items(account: Account, call: Call) -> Answer:
    """Returns what a query selects, page by page."""
    container = addressed(account, call)
    selection = _selection(call, container, anything=call.flag(_CROSS_PARTITION))
    query = parse_query(call.body)
    whole = query.selects_everything
    return _page(account, call, container, selection, None if whole else query)


def emptied(call: Call, given: Answer) -> Answer:
    """A page of a query whose time was up before anything was found: go on where you were."""
    if ITEM_COUNT not in given.headers:
        return given
    continuation = call.headers.get(CONTINUATION) or FROM_THE_START
    headers = {**given.headers, ITEM_COUNT: "0", CONTINUATION: continuation}
    rid = headers["x-ms-content-path"]
    return Answer(status=200, body=page_body(rid, []), headers=headers)


def _fed_range(call: Call, container: Container) -> tuple[str, str, str]:
    minimum, maximum = call.epk_bounds
    if call.partition_key is not None:
        minimum, maximum = container.keys.epk_range(call.partition_key)
        owner = container.topology.owner_of(minimum).range_id
        return call.range_id or owner, minimum, maximum
    if call.range_id is not None:
        return call.range_id, minimum, maximum
    partitions = container.partitions()
    if len(partitions) > 1:
        raise bad_request("A change feed request must name a partition key range.")
    return partitions[0].range_id, minimum, maximum


def _start(call: Call) -> Start:
    continuation, since = call.headers.get(IF_NONE_MATCH), call.headers.get("If-Modified-Since")
    if continuation:
        return parse_continuation(continuation)
    if since is None:
        return Beginning()
    timestamp = moment(since)
    if timestamp is None:
        raise bad_request(f"The date {since!r} is not valid.")
    return Since(timestamp=timestamp)


def _selection(call: Call, container: Container, *, anything: bool) -> Selection:
    topology, key = container.topology, call.partition_key
    minimum, maximum = container.keys.epk_range(key) if key else call.epk_bounds
    if call.range_id is not None:
        partition = container.partition(call.range_id)
        return Selection(partitions=[partition], minimum=minimum, maximum=maximum)
    everything = (minimum, maximum) == (MINIMUM, MAXIMUM) and len(topology.partitions) > 1
    if everything and not anything:
        raise bad_request(
            "Cross partition query is required but disabled. Please set "
            "x-ms-documentdb-query-enablecrosspartition to true, specify x-ms-documentdb-partitionkey, "
            "or revise your query to avoid this exception."
        )
    partitions = topology.overlapping(minimum, maximum)
    return Selection(partitions=partitions, minimum=minimum, maximum=maximum)


def _page(
    account: Account,
    call: Call,
    container: Container,
    selection: Selection,
    query: Query | None,
) -> Answer:
    for partition in selection.partitions:
        container.check_session(partition, call.session)
    positions = _positions(selection.partitions)
    page = account.cursors.page(
        call.headers.get(CONTINUATION) or None,
        call.most_items,
        _read(container, selection, query),
        lambda: _rows(container, selection, query, account.engine.now),
    )
    headers = {
        **container_headers(container),
        **positions,
        **_metrics(call, len(page.rows), sum(map(len, page.rows))),
        ITEM_COUNT: str(len(page.rows)),
    }
    if query is not None:
        headers["x-ms-cosmos-query-execution-info"] = query.execution_info
    if page.continuation is not None:
        headers[CONTINUATION] = page.continuation
    body = page_body(container.rid, page.rows)
    units = charges.page_ru(len(page.rows), len(body))
    return Answer(status=200, body=body, headers=headers, request_units=units)


def _metrics(call: Call, count: int, size_bytes: int) -> dict[str, str]:
    """Figures about a query for those who ask; times are 0, since nothing here stands for them."""
    headers = {}
    if call.flag("x-ms-documentdb-populatequerymetrics"):
        counts = {
            "retrievedDocumentCount": count,
            "retrievedDocumentSize": size_bytes,
            "outputDocumentCount": count,
            "outputDocumentSize": size_bytes,
            "indexUtilizationRatio": 1.0,
        }
        figures = [f"{name}=0.00" for name in _TIMES] + [f"{k}={v}" for k, v in counts.items()]
        headers["x-ms-documentdb-query-metrics"] = ";".join(figures)
    if call.flag("x-ms-cosmos-populateindexmetrics"):
        nothing: dict[str, list[object]] = {
            name: []
            for name in (
                "UtilizedSingleIndexes",
                "PotentialSingleIndexes",
                "UtilizedCompositeIndexes",
                "PotentialCompositeIndexes",
            )
        }
        headers["x-ms-cosmos-index-utilization"] = b64encode(encode_json(nothing)).decode()
    return headers


def _positions(partitions: Sequence[Partition]) -> dict[str, str]:
    token = ",".join(session_token(p.range_id, p.lsn) for p in partitions)
    return position_headers(token, max(p.lsn for p in partitions))


def _read(container: Container, selection: Selection, query: Query | None) -> Read:
    return Read(
        container=container.rid,
        query=repr(query),
        ranges=tuple(each.range_id for each in selection.partitions),
        minimum=selection.minimum,
        maximum=selection.maximum,
    )


def _rows(
    container: Container, selection: Selection, query: Query | None, now: Callable[[], float]
) -> Iterator[Row]:
    documents = chain.from_iterable(
        [
            container.visible(partition, selection.minimum, selection.maximum)
            for partition in selection.partitions
        ]
    )
    if query is not None:
        return select_documents(query, documents, now)
    # A page read later shows what became of the items meanwhile.
    versions = map(container.current, documents)
    return (Row(each.point_body, each.number) for each in versions if each is not None)
