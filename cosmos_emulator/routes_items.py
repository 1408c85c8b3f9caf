"""Answers to operations on single items and to transactional batches.

Every answer, also a refusal, carries the session token of the partition asked.
Source: Cosmos DB REST API, documents.
"""

from __future__ import annotations

from typing import Any

from cosmos_emulator.account import Account
from cosmos_emulator.batch import BatchOutcome
from cosmos_emulator.bulk_requests import run_bulk
from cosmos_emulator.charges import NOT_MODIFIED_RU
from cosmos_emulator.container import Container, ItemResult
from cosmos_emulator.documents import decode_json, decode_object, encode_json
from cosmos_emulator.errors import bad_request
from cosmos_emulator.keys import PartitionKey
from cosmos_emulator.session import session_token
from cosmos_emulator.wire import (
    IF_MATCH,
    IF_NONE_MATCH,
    Answer,
    Call,
    check_collection_rid,
    container_headers,
    position_headers,
)
from cosmos_emulator.writes import Preconditions, Written

_MINIMAL = "return=minimal"


def create_item(account: Account, call: Call) -> Answer:
    """Stores a new item."""
    container = addressed(account, call)
    result = container.create(call.body, partition_key=call.partition_key)
    return _item_answer(call, container, result)


def upsert_item(account: Account, call: Call) -> Answer:
    """Stores an item, new or not."""
    container = addressed(account, call)
    result = container.upsert(call.body, partition_key=call.partition_key, given=_given(call))
    return _item_answer(call, container, result)


def replace_item(account: Account, call: Call) -> Answer:
    """Stores a new version of an item."""
    container = addressed(account, call)
    result = container.replace(
        call.segments[5], call.body, partition_key=call.partition_key, given=_given(call)
    )
    return _item_answer(call, container, result)


def read_item(account: Account, call: Call) -> Answer:
    """Returns an item, or 304 when the client has its newest version."""
    container = addressed(account, call)
    result = container.read(call.segments[5], _required_key(call), session=call.session)
    answer = _item_answer(call, container, result)
    if call.headers.get(IF_NONE_MATCH) in {"*", result.etag}:
        return Answer(status=304, headers=answer.headers, request_units=NOT_MODIFIED_RU)
    return answer


def delete_item(account: Account, call: Call) -> Answer:
    """Removes an item."""
    container = addressed(account, call)
    result = container.delete(call.segments[5], _required_key(call), given=_given(call))
    return _item_answer(call, container, result)


def patch_item(account: Account, call: Call) -> Answer:
    """Applies patch operations to an item."""
    container = addressed(account, call)
    body = _patch_body(call.body)
    result = container.patch(call.segments[5], _required_key(call), body, given=_given(call))
    return _item_answer(call, container, result)


def batch(account: Account, call: Call) -> Answer:
    """Applies a transactional batch."""
    container = addressed(account, call)
    operations = _list_of(call.body)
    reads = any(each.get("operationType") == "Read" for each in operations)
    bare = call.headers.get("Prefer") == _MINIMAL and not reads
    result = container.batch(operations, _required_key(call))
    return Answer(
        status=result.outcome.status,
        body=encode_json(_outcomes(container, result.outcome, bare=bare)),
        headers={
            **container_headers(container),
            **position_headers(result.session_token, result.lsn),
        },
        request_units=result.outcome.request_units,
    )


def bulk(account: Account, call: Call) -> Answer:
    """Applies operations of one physical partition, each for itself."""
    container = addressed(account, call)
    if call.range_id is None:
        raise bad_request("A bulk request must name a partition key range.")
    outcome = run_bulk(
        container,
        call.range_id,
        _list_of(call.body),
        go_on=call.flag("x-ms-cosmos-batch-continue-on-error"),
        bare=call.headers.get("Prefer") == _MINIMAL,
    )
    partition = container.partition(call.range_id)
    return Answer(
        status=outcome.status,
        body=encode_json(outcome.results),
        headers={
            **container_headers(container),
            **position_headers(session_token(partition.range_id, partition.lsn), partition.lsn),
        },
        request_units=outcome.request_units,
    )


def delete_partition_key(account: Account, call: Call) -> Answer:
    """Removes all items of a partition key."""
    if call.segments[5] != "partitionkeydelete":
        raise bad_request(f"The operation {call.segments[5]!r} is not supported.")
    container = addressed(account, call)
    container.delete_partition_key(_required_key(call))
    return Answer(status=200, headers=container_headers(container), request_units=5.0)


def addressed(account: Account, call: Call) -> Container:
    """The container that a request for items names; 404/1003 when there is none."""
    container = account.engine.owner_container(*call.names)
    check_collection_rid(call, container)
    return container


def _item_answer(call: Call, container: Container, result: ItemResult) -> Answer:
    headers = {
        **container_headers(container),
        **position_headers(result.session_token, result.lsn),
    }
    if result.etag is not None:
        headers["etag"] = result.etag
    minimal = call.headers.get("Prefer") == _MINIMAL and call.method != "GET"
    return Answer(
        status=result.status,
        body=b"" if result.body is None or minimal else result.body,
        headers=headers,
        request_units=result.request_units,
    )


def _given(call: Call) -> Preconditions:
    return Preconditions(
        if_match=call.headers.get(IF_MATCH), if_none_match=call.headers.get(IF_NONE_MATCH)
    )


def _patch_body(body: bytes) -> dict[str, Any]:
    """What a patch asks for; some SDKs send the bare list of its operations."""
    return {"operations": _list_of(body)} if body.lstrip().startswith(b"[") else decode_object(body)


def _list_of(body: bytes) -> list[dict[str, Any]]:
    try:
        operations = decode_json(body)
    except (ValueError, RecursionError) as error:
        raise bad_request("The list of operations is not valid JSON.") from error
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        raise bad_request("A list of operations is needed.")
    return operations


def _required_key(call: Call) -> PartitionKey:
    key = call.partition_key
    if key is None:
        raise bad_request("PartitionKey value must be supplied for this operation.")
    return key


def _outcomes(container: Container, outcome: BatchOutcome, *, bare: bool) -> list[dict[str, Any]]:
    if outcome.refusals:
        return [
            {"statusCode": status, "subStatusCode": substatus, "requestCharge": 0.0}
            for status, substatus in outcome.refusals
        ]
    return [_outcome(container, written, bare=bare) for written in outcome.written]


def _outcome(container: Container, written: Written, *, bare: bool) -> dict[str, Any]:
    outcome: dict[str, Any] = {
        "statusCode": written.status,
        "requestCharge": written.request_units,
    }
    if written.document is None:
        return outcome
    outcome["eTag"] = container.etag_of(written.document)
    if not bare:
        outcome["resourceBody"] = decode_json(written.document.point_body)
    return outcome
