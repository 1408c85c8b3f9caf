"""Answers about containers and their partition key ranges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cosmos_emulator.account import Account
from cosmos_emulator.container import Container
from cosmos_emulator.definitions import SYSTEM_LINKS
from cosmos_emulator.documents import decode_object
from cosmos_emulator.engine import Database
from cosmos_emulator.offers import requested_content
from cosmos_emulator.partition import Partition
from cosmos_emulator.querying import select_resources
from cosmos_emulator.texts import whole_number
from cosmos_emulator.wire import (
    IF_NONE_MATCH,
    Answer,
    Call,
    check_collection_rid,
    container_headers,
    json_answer,
    list_answer,
)

QUOTA_INFO = "x-ms-documentdb-populatequotainfo"
STATISTICS = "x-ms-documentdb-populatepartitionstatistics"
_KIB = 1024


def create_container(account: Account, call: Call) -> Answer:
    """Creates a container."""
    definition = decode_object(call.body)
    throughput = requested_content(call.headers)
    container = account.engine.create_container(call.segments[1], definition)
    account.offers.record(container.rid, throughput)
    return _answer(201, container)


def read_container(account: Account, call: Call) -> Answer:
    """Describes a container."""
    container = account.engine.container(*call.names)
    more = {"statistics": _statistics(container)} if call.flag(STATISTICS) else {}
    answer = _answer(200, container, **more)
    if not call.flag(QUOTA_INFO):
        return answer
    count = sum(len(partition) for partition in container.partitions())
    size = sum(map(_size_kib, container.partitions()))
    usage = f"documentSize=0;documentsSize={size};documentsCount={count};collectionSize={size};"
    quota = {
        "x-ms-resource-usage": usage,
        "x-ms-documentdb-collection-index-transformation-progress": "100",
    }
    return replace(answer, headers={**answer.headers, **quota})


def replace_container(account: Account, call: Call) -> Answer:
    """Changes a container's definition."""
    definition = decode_object(call.body)
    return _answer(200, account.engine.replace_container(*call.names, definition))


def delete_container(account: Account, call: Call) -> Answer:
    """Removes a container."""
    account.engine.delete_container(*call.names)
    return Answer(status=204)


def list_containers(account: Account, call: Call) -> Answer:
    """Lists the containers of a database."""
    database = account.engine.database(call.segments[1])
    return list_answer(database.rid, "DocumentCollections", _resources(database))


def query_containers(account: Account, call: Call) -> Answer:
    """Lists the containers that a query selects."""
    database = account.engine.database(call.segments[1])
    selected = select_resources(call.body, _resources(database), account.engine.now)
    return list_answer(database.rid, "DocumentCollections", selected)


def read_pkranges(account: Account, call: Call) -> Answer:
    """Lists the partition key ranges that the client does not know; 304 when it knows all."""
    container = account.engine.container(*call.names)
    check_collection_rid(call, container)
    listing = container.pkranges(_known_version(call, container))
    headers = container_headers(container)
    if listing is None:
        etag = call.headers[IF_NONE_MATCH]
        return Answer(status=304, headers={**headers, "etag": etag}, request_units=1.0)
    ranges = [_range(container, partition) for partition in listing.partitions]
    answer = list_answer(container.rid, "PartitionKeyRanges", ranges)
    etag = f'"{container.rid}.{listing.version}"'
    return Answer(status=200, body=answer.body, headers={**headers, **answer.headers, "etag": etag})


def _known_version(call: Call, container: Container) -> int | None:
    rid, _, version = call.headers.get(IF_NONE_MATCH, "").strip('"').rpartition(".")
    return whole_number(version) if rid == container.rid else None


def _statistics(container: Container) -> list[dict[str, Any]]:
    """What each partition holds; no key is told apart from the others, as where none is large."""
    return [
        {
            "id": partition.range_id,
            "sizeInKB": _size_kib(partition),
            "documentCount": len(partition),
            "sampledDistinctPartitionKeyCount": partition.distinct_keys,
            "partitionKeys": [],
        }
        for partition in container.partitions()
    ]


def _size_kib(partition: Partition) -> int:
    return -(-partition.size_bytes // _KIB)


def _answer(status: int, container: Container, **more: object) -> Answer:
    resource = {**_resource(container), **more}
    answer = json_answer(status, resource, etag=resource["_etag"])
    owner = {
        "x-ms-alt-content-path": container.database_path,
        "x-ms-content-path": container.database_rid,
    }
    return replace(answer, headers={**answer.headers, **owner})


def _resources(database: Database) -> list[dict[str, Any]]:
    return [_resource(container) for container in database.containers.values()]


def _resource(container: Container) -> dict[str, Any]:
    return {
        **container.definition,
        "_rid": container.rid,
        "_ts": container.written_at,
        "_self": container.self_link,
        "_etag": f'"00000000-0000-0000-0000-{container.written_at:08x}0000"',
        **SYSTEM_LINKS,
    }


def _range(container: Container, partition: Partition) -> dict[str, Any]:
    identity = partition.range_id
    return {
        "_rid": container.rid,
        "id": identity,
        "_etag": f'"00000000-0000-0000-0000-{container.written_at:08x}0000"',
        "minInclusive": partition.minimum,
        "maxExclusive": partition.maximum,
        "ridPrefix": int(identity),
        "_self": f"{container.self_link}pkranges/{identity}/",
        "throughputFraction": 1.0 / len(container.partitions()),
        "status": "online",
        "parents": list(partition.ancestors),
        "_ts": container.written_at,
    }
