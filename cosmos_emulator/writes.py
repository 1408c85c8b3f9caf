"""Writes to items, each a decision on the current version followed by at most one change.

They run against a `Store`: a partition itself, or the uncommitted state of a batch over it. The rules
are those of the service: 409 for a second create, 404 for what is not there or has expired, 412 when
the entity tag given is not the current one.
Source: Cosmos DB REST API, documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cosmos_emulator import charges
from cosmos_emulator.documents import (
    Document,
    Incoming,
    ItemKey,
    Seal,
    accept,
    decode_leniently,
)
from cosmos_emulator.errors import bad_request, conflict, not_found, precondition_failed
from cosmos_emulator.keys import PartitionKeyDefinition
from cosmos_emulator.patch import PatchError, apply_patch, condition_holds

_ANY = "*"


class Store(Protocol):
    """Where versions are looked up and put."""

    @property
    def next_lsn(self) -> int:
        """The LSN of the next change."""

    def get(self, key: ItemKey, now: float) -> Document | None:
        """Returns the visible item."""

    def put(self, document: Document) -> None:
        """Stores the newest version."""

    def remove(self, document: Document, lsn: int) -> None:
        """Removes the item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of one item operation: 200, 201 or 204 and the version it left or read."""

    status: int
    request_units: float
    document: Document | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preconditions:
    """Entity tags that must, or must not, be the current one."""

    if_match: str | None = None
    if_none_match: str | None = None


NO_PRECONDITIONS = Preconditions()


class Writer:
    """Applies item operations at one moment; gives out item and version numbers."""

    def __init__(self, *, seal: Seal, definition: PartitionKeyDefinition) -> None:
        self._seal = seal
        self._definition = definition
        self._items = 0
        self._versions = 0

    def create(self, store: Store, incoming: Incoming, now: float) -> Written:
        """Stores a new item; 409 when a visible one has its key."""
        if store.get((incoming.epk, incoming.id), now) is not None:
            raise conflict()
        return self._put(store, incoming, now, None)

    def upsert(
        self, store: Store, incoming: Incoming, now: float, given: Preconditions = NO_PRECONDITIONS
    ) -> Written:
        """Stores the item whether or not there is one; tags are checked if there is."""
        current = store.get((incoming.epk, incoming.id), now)
        if current is not None:
            self._check(current, given)
        return self._put(store, incoming, now, current)

    def replace(
        self, store: Store, key: ItemKey, incoming: Incoming, now: float, given: Preconditions
    ) -> Written:
        """Stores a new version of an item that is there."""
        current = self._require(store, key, now, given)
        if incoming.epk != key[0]:
            raise bad_request("The partition key of an item cannot be replaced.")
        if incoming.id != current.id:  # the item goes on under another id
            if store.get((incoming.epk, incoming.id), now) is not None:
                raise conflict()
            store.remove(current, store.next_lsn)
        return self._put(store, incoming, now, current)

    def delete(self, store: Store, key: ItemKey, now: float, given: Preconditions) -> Written:
        """Removes an item that is there."""
        current = self._require(store, key, now, given)
        store.remove(current, store.next_lsn)
        return Written(status=204, request_units=charges.write_ru(len(current.body)))

    def read(self, store: Store, key: ItemKey, now: float) -> Written:
        """Returns an item that is there."""
        current = self._require(store, key, now, NO_PRECONDITIONS)
        units = charges.read_ru(len(current.body))
        return Written(status=200, request_units=units, document=current)

    def patch(
        self, store: Store, key: ItemKey, body: Mapping[str, Any], now: float, given: Preconditions
    ) -> Written:
        """Applies patch operations to an item that is there, on its condition if it has one."""
        current = self._require(store, key, now, given)
        incoming = accept(_patched(current, body, self._definition), self._definition)
        if (incoming.epk, incoming.id) != key:
            raise bad_request("Neither the id nor the partition key of an item can be patched.")
        return self._put(store, incoming, now, current)

    def _put(
        self, store: Store, incoming: Incoming, now: float, current: Document | None
    ) -> Written:
        self._versions += 1
        if current is None:
            self._items += 1
        document = self._seal.apply(
            incoming,
            number=self._items if current is None else current.number,
            version=self._versions,
            ts=int(now),
            lsn=store.next_lsn,
        )
        store.put(document)
        units = charges.write_ru(len(document.body))
        return Written(
            status=201 if current is None else 200, request_units=units, document=document
        )

    def _require(self, store: Store, key: ItemKey, now: float, given: Preconditions) -> Document:
        current = store.get(key, now)
        if current is None:
            raise not_found()
        self._check(current, given)
        return current

    def _check(self, current: Document, given: Preconditions) -> None:
        etag = self._seal.etag_of(current)
        if given.if_match not in {None, _ANY, etag}:
            raise precondition_failed()
        if given.if_none_match in {_ANY, etag}:
            raise precondition_failed()


def _patched(
    current: Document, body: Mapping[str, Any], definition: PartitionKeyDefinition
) -> dict[str, Any]:
    document = decode_leniently(current.point_body)
    operations = body.get("operations")
    if not isinstance(document, dict) or not isinstance(operations, Sequence):
        raise bad_request(
            "The patch needs a list of operations and a document it can be applied to."
        )
    try:
        if "condition" in body and not condition_holds(body["condition"], document):
            raise precondition_failed()
        return apply_patch(document, operations, protected=definition.pointers)
    except PatchError as error:
        raise bad_request(str(error)) from error
