"""Bulk: many operations on one physical partition in one request, each for itself.

Unlike a transactional batch the operations bear partition keys of their own, and one that is refused
takes no other with it; unless the request says to go on, those after it are left out with 424.
Source: what `executeBulkOperations` of the JavaScript SDK sends and reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_emulator.container import Container, ItemResult
from cosmos_emulator.documents import MOST_DOCUMENT_BYTES, decode_json, encode_json
from cosmos_emulator.errors import EmulatorError, bad_request, range_gone, too_large
from cosmos_emulator.keys import PartitionKey, key_from, parse_key
from cosmos_emulator.partition import Partition
from cosmos_emulator.writes import Preconditions

MOST_OPERATIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOutcome:
    """One result per operation, in order, and whether all of them went well."""

    results: Sequence[Mapping[str, Any]]
    request_units: float

    @property
    def status(self) -> int:
        """200 when every operation went well, else 207."""
        return 200 if all(one["statusCode"] < 400 for one in self.results) else 207  # noqa: PLR2004


def run_bulk(
    container: Container,
    range_id: str,
    operations: Sequence[Mapping[str, Any]],
    *,
    go_on: bool,
    bare: bool,
) -> BulkOutcome:
    """Applies operation after operation; 410 for a range that is gone, before any is applied."""
    if not operations:
        raise bad_request("Batch request has no operations.")
    if len(operations) > MOST_OPERATIONS:
        raise bad_request(f"A batch has at most {MOST_OPERATIONS} operations.")
    if sum(len(encode_json(each)) for each in operations) > MOST_DOCUMENT_BYTES:
        raise too_large()
    partition = container.partition(range_id)
    results: list[dict[str, Any]] = []
    units, stopped = 0.0, False
    for operation in operations:
        if stopped:
            results.append({"statusCode": 424, "subStatusCode": 0, "requestCharge": 0.0})
            continue
        try:
            done = _apply(container, partition, operation)
        except EmulatorError as error:
            results.append(
                {
                    "statusCode": error.status,
                    "subStatusCode": error.substatus,
                    "requestCharge": 1.0,
                }
            )
            stopped = not go_on
        else:
            units += done.request_units
            keeps = not bare or operation.get("operationType") == "Read"
            results.append(_result(done, keeps_body=keeps))
    return BulkOutcome(results=results, request_units=round(units or 1.0, 2))


def _apply(container: Container, partition: Partition, operation: Mapping[str, Any]) -> ItemResult:
    key = _key_of(operation)
    _check_owner(container, partition, key)
    kind, body = operation.get("operationType"), operation.get("resourceBody", {})
    given = Preconditions(
        if_match=operation.get("ifMatch"), if_none_match=operation.get("ifNoneMatch")
    )
    identity = str(operation.get("id"))
    match kind:
        case "Create":
            return container.create(body, partition_key=key)
        case "Upsert":
            return container.upsert(body, partition_key=key, given=given)
        case "Replace":
            return container.replace(identity, body, partition_key=key, given=given)
        case "Read":
            return container.read(identity, key)
        case "Delete":
            return container.delete(identity, key, given=given)
        case "Patch":
            return container.patch(identity, key, body, given=given)
        case _:
            raise bad_request(f"The bulk operation {kind!r} is not supported.")


def _key_of(operation: Mapping[str, Any]) -> PartitionKey:
    """The key is given as JSON, or as JSON in a text, as in the header."""
    given = operation.get("partitionKey")
    if isinstance(given, str) and given.startswith("["):
        return parse_key(given)
    if given is None:
        raise bad_request("PartitionKey value must be supplied for this operation.")
    return key_from(given)


def _check_owner(container: Container, partition: Partition, key: PartitionKey) -> None:
    if container.topology.owner_of(container.keys.epk_of(key)) is not partition:
        raise range_gone(partition.range_id)


def _result(done: ItemResult, *, keeps_body: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"statusCode": done.status, "requestCharge": done.request_units}
    if done.etag is not None:
        result["eTag"] = done.etag
    if done.body is not None and keeps_body:
        result["resourceBody"] = decode_json(done.body)
    return result
