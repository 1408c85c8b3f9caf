"""A container: items in physical partitions, reached by partition key and id.

Everything an SDK can do to items of a container is a synchronous method here, so that the emulated
service also works inside a process, without HTTP. Refusals are `EmulatorError`s that carry the session token of
the partition asked. Writes first remove what has expired in their partition, as the service does in
its spare time; reads merely do not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from cosmos_emulator import charges
from cosmos_emulator.batch import BatchOutcome, run_batch
from cosmos_emulator.documents import Document, Incoming, Seal, accept
from cosmos_emulator.epk import MAXIMUM, MINIMUM
from cosmos_emulator.errors import (
    PARTITION_KEY_MISMATCH,
    EmulatorError,
    bad_request,
    not_found,
    session_not_available,
)
from cosmos_emulator.feed import Beginning, Start, Window, parse_continuation, read_changes
from cosmos_emulator.keys import key_from, parse_definition
from cosmos_emulator.partition import Partition
from cosmos_emulator.raw import accept_raw
from cosmos_emulator.rids import item_number, rid_text
from cosmos_emulator.session import session_lsn, session_token
from cosmos_emulator.topology import RangeListing, Topology
from cosmos_emulator.ttl import default_ttl
from cosmos_emulator.writes import NO_PRECONDITIONS, Preconditions, Writer, Written

Body = bytes | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """The answer to an item operation; `body` is None after a delete."""

    status: int
    body: bytes | None
    etag: str | None
    request_units: float
    session_token: str
    lsn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """The answer to a transactional batch: one outcome per operation, in order."""

    outcome: BatchOutcome
    session_token: str
    lsn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedResult:
    """One page of the change feed: 200 with documents, or 304 without."""

    status: int
    bodies: list[bytes]
    etag: str
    request_units: float
    session_token: str
    lsn: int


class Container:
    """One container of a database."""

    def __init__(
        self,
        *,
        rid: bytes,
        database_rid: bytes,
        database_name: str = "",
        definition: dict[str, Any],
        partitions: int,
        now: Callable[[], float],
    ) -> None:
        self.rid = rid_text(rid)
        self.self_link = f"dbs/{rid_text(database_rid)}/colls/{self.rid}/"
        self.database_path = f"dbs/{quote(database_name, safe=' ')}"
        self.database_rid = rid_text(database_rid)
        self.definition = definition
        self.keys = parse_definition(definition["partitionKey"])
        self.topology = Topology(
            count=partitions, default_ttl=default_ttl(definition), hashing=self.keys.hashing
        )
        self.written_at = int(now())
        self.purges_itself = True
        self._now = now
        self._seal = Seal(rid=rid, self_link=self.self_link)
        self._writer = Writer(seal=self._seal, definition=self.keys)

    @property
    def name(self) -> str:
        """The container's id."""
        return str(self.definition["id"])

    @property
    def path(self) -> str:
        """The container's address by names, as it stands in answers."""
        return f"{self.database_path}/colls/{quote(self.name, safe=' ')}"

    def redefine(self, definition: dict[str, Any]) -> None:
        """Takes another definition; a changed default time to live applies at once."""
        self.definition = definition
        self.written_at = int(self._now())
        self.topology.set_default_ttl(default_ttl(definition))

    def create(self, body: Body, *, partition_key: object = None) -> ItemResult:
        """Stores a new item."""
        incoming = self._accept(body, partition_key)
        with self._writing(incoming.epk) as partition:
            written = self._writer.create(partition, incoming, self._now())
            return self._result(partition, written)

    def upsert(
        self, body: Body, *, partition_key: object = None, given: Preconditions = NO_PRECONDITIONS
    ) -> ItemResult:
        """Stores an item, new or not."""
        return self._upsert(self._accept(body, partition_key), given)

    def upsert_raw(
        self, body: bytes, *, item_id: str | None = None, partition_key: object = None
    ) -> ItemResult:
        """Stores bytes verbatim as a document, whatever they are."""
        incoming = accept_raw(body, self.keys, item_id=item_id, partition_key=partition_key)
        return self._upsert(incoming, NO_PRECONDITIONS)

    def replace(
        self,
        item_id: str,
        body: Body,
        *,
        partition_key: object = None,
        given: Preconditions = NO_PRECONDITIONS,
    ) -> ItemResult:
        """Stores a new version of an item."""
        incoming = self._accept(body, partition_key)
        with self._writing(incoming.epk) as partition:
            key = (incoming.epk, item_id)
            written = self._writer.replace(partition, key, incoming, self._now(), given)
            return self._result(partition, written)

    def delete(
        self, item_id: str, partition_key: object, *, given: Preconditions = NO_PRECONDITIONS
    ) -> ItemResult:
        """Removes an item."""
        epk = self._epk(partition_key)
        with self._writing(epk) as partition:
            written = self._writer.delete(partition, (epk, item_id), self._now(), given)
            return self._result(partition, written)

    def patch(
        self,
        item_id: str,
        partition_key: object,
        body: Mapping[str, Any],
        *,
        given: Preconditions = NO_PRECONDITIONS,
    ) -> ItemResult:
        """Applies the `operations` of `body` to an item, on its `condition` if it has one."""
        epk = self._epk(partition_key)
        with self._writing(epk) as partition:
            written = self._writer.patch(partition, (epk, item_id), body, self._now(), given)
            return self._result(partition, written)

    def read(
        self, item_id: str, partition_key: object, *, session: str | None = None
    ) -> ItemResult:
        """Returns an item's newest version."""
        epk = self._epk(partition_key)
        partition = self.topology.owner_of(epk)
        with self._answering(partition, session):
            written = self._writer.read(partition, (epk, item_id), self._now())
            return self._result(partition, written)

    def batch(self, operations: Sequence[Mapping[str, Any]], partition_key: object) -> BatchResult:
        """Applies all operations under one LSN, or none."""
        epk = self._epk(partition_key)
        with self._writing(epk) as partition:
            outcome = run_batch(
                writer=self._writer,
                keys=self.keys,
                partition=partition,
                epk=epk,
                operations=operations,
                now=self._now(),
            )
            return BatchResult(
                outcome=outcome,
                session_token=session_token(partition.range_id, partition.lsn),
                lsn=partition.lsn,
            )

    def delete_partition_key(self, partition_key: object) -> int:
        """Removes all items of a partition key; returns how many there were."""
        minimum, maximum = self.keys.epk_range(key_from(partition_key))
        removed = 0
        for partition in self.topology.overlapping(minimum, maximum):
            for document in list(partition.documents(self._now(), minimum, maximum)):
                partition.remove(document, partition.next_lsn)
                removed += 1
        return removed

    def change_feed(
        self,
        range_id: str,
        start: Start | str | None = None,
        *,
        start_epk: str = MINIMUM,
        end_epk: str = MAXIMUM,
        max_items: int | None = None,
        session: str | None = None,
    ) -> FeedResult:
        """Returns the next page of a range; `start` is an entity tag, `*`, or a `Start`.

        Without a start the feed is read from the beginning; without `max_items` a page takes what fits.
        """
        now = self._now()
        partition = self.topology.get(range_id, now)
        with self._answering(partition, session):
            where = parse_continuation(start) if isinstance(start, str) else start or Beginning()
            window = Window(minimum=start_epk, maximum=end_epk, most_items=max_items, now=now)
            page = read_changes(partition, where, window)
            bodies = page.bodies
            units = charges.page_ru(len(bodies), sum(map(len, bodies)))
            return FeedResult(
                status=200 if bodies else 304,
                bodies=bodies,
                etag=page.etag,
                request_units=units if bodies else charges.NOT_MODIFIED_RU,
                session_token=session_token(range_id, partition.lsn),
                lsn=partition.lsn,
            )

    def pkranges(self, known_version: int | None = None) -> RangeListing | None:
        """What is new among the partition key ranges, None when nothing is."""
        return self.topology.listing(known_version)

    def partitions(self) -> tuple[Partition, ...]:
        """The living partitions, lowest key first."""
        return self.topology.partitions

    def split(self, range_id: str, *, completing_seconds: float = 0) -> list[str]:
        """Splits a physical partition; returns its children's ids, lower half first."""
        children = self.topology.split(
            range_id, now=self._now(), completing_seconds=completing_seconds
        )
        return [child.range_id for child in children]

    def merge(self, range_ids: Sequence[str], *, lsn: int | None = None) -> str:
        """Merges neighbouring partitions; returns the child's id."""
        return self.topology.merge(range_ids, now=self._now(), lsn=lsn).range_id

    def purge(self) -> int:
        """Removes what has expired; returns how many items that were."""
        return sum(partition.purge(self._now()) for partition in self.topology.partitions)

    def documents(self, minimum: str = MINIMUM, maximum: str = MAXIMUM) -> Iterator[Document]:
        """The visible items of a key range, by partition, oldest item first."""
        for partition in self.topology.overlapping(minimum, maximum):
            yield from self.visible(partition, minimum, maximum)

    def load(self, bodies: Iterable[Body]) -> int:
        """Upserts many documents; returns how many."""
        count = 0
        for body in bodies:
            incoming = accept(body, self.keys)
            partition = self.topology.owner_of(incoming.epk)
            self._writer.upsert(partition, incoming, self._now())
            count += 1
        return count

    def partition(self, range_id: str) -> Partition:
        """Returns a living partition; 410 for a range that is gone."""
        return self.topology.get(range_id, self._now())

    def visible(self, partition: Partition, minimum: str, maximum: str) -> Iterator[Document]:
        """The unexpired items of one partition within a key range, oldest item first."""
        return partition.documents(self._now(), minimum, maximum)

    def id_of(self, rid: str) -> str:
        """The id of the item with this resource id; 404 when there is none."""
        number = item_number(rid)
        now = self._now()
        for partition in self.topology.partitions:
            for document in partition.documents(now, MINIMUM, MAXIMUM):
                if document.number == number and self._seal.rid_of(document) == rid:
                    return document.id
        raise not_found()

    def current(self, document: Document) -> Document | None:
        """The newest version of the item that a document is a version of."""
        return self.topology.owner_of(document.epk).get(document.key, self._now())

    def etag_of(self, document: Document) -> str:
        """The document's entity tag, quoted."""
        return self._seal.etag_of(document)

    def check_session(self, partition: Partition, session: str | None) -> None:
        """Refuses a read whose client has seen more than the partition holds."""
        seen = session_lsn(session, partition.range_id)
        if seen is not None and seen > partition.lsn:
            raise session_not_available()

    def _upsert(self, incoming: Incoming, given: Preconditions) -> ItemResult:
        with self._writing(incoming.epk) as partition:
            written = self._writer.upsert(partition, incoming, self._now(), given)
            return self._result(partition, written)

    def _accept(self, body: Body, partition_key: object) -> Incoming:
        incoming = accept(body, self.keys)
        if partition_key is not None and self._epk(partition_key) != incoming.epk:
            raise bad_request(
                "PartitionKey extracted from document doesn't match the one specified in the header",
                PARTITION_KEY_MISMATCH,
            )
        return incoming

    def _epk(self, partition_key: object) -> str:
        return self.keys.epk_of(key_from(partition_key))

    @contextmanager
    def _writing(self, epk: str) -> Iterator[Partition]:
        partition = self.topology.owner_of(epk)
        if self.purges_itself:
            partition.purge(self._now())
        with self._answering(partition, None):
            yield partition

    @contextmanager
    def _answering(self, partition: Partition, session: str | None) -> Iterator[None]:
        try:
            self.check_session(partition, session)
            yield
        except EmulatorError as error:
            error.session_token = session_token(partition.range_id, partition.lsn)
            error.lsn = partition.lsn
            raise

    def _result(self, partition: Partition, written: Written) -> ItemResult:
        document = written.document
        return ItemResult(
            status=written.status,
            body=None if document is None else document.point_body,
            etag=None if document is None else self._seal.etag_of(document),
            request_units=written.request_units,
            session_token=session_token(partition.range_id, partition.lsn),
            lsn=partition.lsn,
        )
