"""Transactional batches: all operations take effect under one LSN, or none does.

The operations run against the uncommitted state that those before them left. A failure answers 207: the
culprit with its own status, all others with 424.
Source: Cosmos DB documentation, transactional batch operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_emulator.documents import MOST_DOCUMENT_BYTES, Document, ItemKey, accept, encode_json
from cosmos_emulator.errors import (
    PARTITION_KEY_MISMATCH,
    EmulatorError,
    bad_request,
    too_large,
)
from cosmos_emulator.keys import PartitionKeyDefinition
from cosmos_emulator.partition import Partition
from cosmos_emulator.writes import Preconditions, Writer, Written

_MOST_OPERATIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutcome:
    """200 and what each operation did, or 207 and why none did: (status, substatus)."""

    status: int
    written: Sequence[Written]
    refusals: Sequence[tuple[int, int]] = ()

    @property
    def request_units(self) -> float:
        """The charge of the whole batch."""
        return round(sum(each.request_units for each in self.written) or 1.0, 2)


class _Uncommitted:
    """The partition as the operations so far would leave it."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._changed: dict[ItemKey, Document | None] = {}

    @property
    def next_lsn(self) -> int:
        return self._partition.next_lsn

    def get(self, key: ItemKey, now: float) -> Document | None:
        if key in self._changed:
            return self._changed[key]
        return self._partition.get(key, now)

    def put(self, document: Document) -> None:
        self._changed[document.key] = document

    def remove(self, document: Document, lsn: int) -> None:
        del lsn  # every change of a batch takes the same one, at the end
        self._changed[document.key] = None

    def commit(self, now: float) -> None:
        lsn = self.next_lsn
        for key, document in self._changed.items():
            current = self._partition.get(key, now)
            if current is not None and (document is None or document.number != current.number):
                self._partition.remove(current, lsn)
            if document is not None:
                self._partition.put(document)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    writer: Writer
    keys: PartitionKeyDefinition
    store: _Uncommitted
    epk: str
    now: float


def run_batch(
    *,
    writer: Writer,
    keys: PartitionKeyDefinition,
    partition: Partition,
    epk: str,
    operations: Sequence[Mapping[str, Any]],
    now: float,
) -> BatchOutcome:
    """Applies the operations in order; commits when none is refused."""
    if not operations:
        raise bad_request("Batch request has no operations.")
    if len(operations) > _MOST_OPERATIONS:
        raise bad_request(f"A batch has at most {_MOST_OPERATIONS} operations.")
    if sum(len(encode_json(operation)) for operation in operations) > MOST_DOCUMENT_BYTES:
        raise too_large()
    store = _Uncommitted(partition)
    scope = _Scope(writer=writer, keys=keys, store=store, epk=epk, now=now)
    written: list[Written] = []
    for index, operation in enumerate(operations):
        try:
            written.append(_apply(scope, operation))
        except EmulatorError as error:
            refusals = [(424, 0)] * len(operations)
            refusals[index] = (error.status, error.substatus)
            return BatchOutcome(status=207, written=(), refusals=refusals)
    store.commit(now)
    return BatchOutcome(status=200, written=written)


def _apply(scope: _Scope, operation: Mapping[str, Any]) -> Written:
    kind, body = operation.get("operationType"), operation.get("resourceBody", {})
    given = Preconditions(
        if_match=operation.get("ifMatch"), if_none_match=operation.get("ifNoneMatch")
    )
    key = (scope.epk, str(operation.get("id")))
    match kind:
        case "Read":
            return scope.writer.read(scope.store, key, scope.now)
        case "Delete":
            return scope.writer.delete(scope.store, key, scope.now, given)
        case "Patch":
            return scope.writer.patch(scope.store, key, body, scope.now, given)
        case "Create" | "Upsert" | "Replace":
            return _store(scope, kind, key, body, given)
        case _:
            raise bad_request(f"The batch operation {kind!r} is not supported.")


def _store(
    scope: _Scope, kind: str, key: ItemKey, body: Mapping[str, Any], given: Preconditions
) -> Written:
    incoming = accept(body, scope.keys)
    if incoming.epk != scope.epk:
        raise bad_request("The item has another partition key.", PARTITION_KEY_MISMATCH)
    if kind == "Create":
        return scope.writer.create(scope.store, incoming, scope.now)
    if kind == "Upsert":
        return scope.writer.upsert(scope.store, incoming, scope.now, given)
    return scope.writer.replace(scope.store, key, incoming, scope.now, given)
