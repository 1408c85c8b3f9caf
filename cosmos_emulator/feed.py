"""The change feed of one partition in latest-version mode, page by page.

A page holds the newest version of each item above a position, in LSN order. Items that share an LSN
stay in one page even if it grows past the item limit; a page stays below four megabytes unless a
single LSN exceeds it. A page without items is "not modified", and its position moves to the end of
the log, past removals and other keys.
Source: Cosmos DB documentation, change feed in latest-version mode.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_emulator.documents import Document, decode_leniently, encode_json
from cosmos_emulator.errors import bad_request
from cosmos_emulator.partition import Partition
from cosmos_emulator.texts import whole_number

MOST_PAGE_BYTES = 4 * 1024 * 1024
DEFAULT_PAGE_ITEMS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """From the first change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """Nothing that is already there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """From the first change at or after a time, in seconds since the epoch."""

    timestamp: float


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """From the first change above an LSN."""

    lsn: int


Start = Beginning | Now | Since | After


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePage:
    """A page, and the LSN to continue from."""

    documents: list[Document]
    lsn: int

    @property
    def etag(self) -> str:
        """The continuation, as the `etag` header has it."""
        return f'"{self.lsn}"'

    @property
    def bodies(self) -> list[bytes]:
        """The documents as they are served, `_lsn` included."""
        return [document.body for document in self.documents]


def nested_change(body: bytes) -> bytes:
    """A change as the newer wire format has it: the document, and beside it what the feed knows."""
    document = decode_leniently(body)
    known = document if isinstance(document, dict) else {}
    metadata = {"lsn": known.get("_lsn"), "crts": known.get("_ts")}
    return b'{"current":%b,"metadata":%b}' % (body, encode_json(metadata))


def parse_continuation(text: str) -> Start:
    """Reads an entity tag given as a continuation; quotes are optional, `*` is now."""
    bare = text.strip().removeprefix("W/").strip('"')
    if bare == "*":
        return Now()
    if not bare:
        return Beginning()
    lsn = whole_number(bare)
    if lsn is None or lsn < 0:
        raise bad_request(f"The continuation {text!r} is not valid.")
    return After(lsn=lsn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a page may show: a range of keys, a number of items (None: what fits), at a moment."""

    minimum: str
    maximum: str
    most_items: int | None
    now: float


def read_changes(partition: Partition, start: Start, window: Window) -> ChangePage:
    """Returns the next page; no documents means that nothing is new."""
    picked = _pick(partition, _first_slot(partition, start, window.now), window)
    return ChangePage(documents=picked, lsn=picked[-1].lsn if picked else partition.lsn)


def _first_slot(partition: Partition, start: Start, now: float) -> int:
    slots = partition.slots()
    match start:
        case Beginning():
            return 0
        case Now():
            return len(slots)
        case After(lsn=lsn):
            return partition.after(lsn)
        case Since(timestamp=timestamp):
            for index, document in enumerate(slots):
                if document is None or document.ts < timestamp:
                    continue
                if partition.is_visible(document, now):
                    return index
            return len(slots)


def _pick(partition: Partition, slot: int, window: Window) -> list[Document]:
    slots = partition.slots()
    limit = len(slots) if window.most_items is None else window.most_items
    whole = partition.hides_nothing(window.now, window.minimum, window.maximum)
    picked: list[Document] = []
    size = group = last_lsn = 0
    for index in range(slot, len(slots)):
        document = slots[index]
        if document is None or not (whole or _shows(partition, document, window)):
            continue
        if document.lsn != last_lsn:
            if len(picked) >= limit:
                break
            group, last_lsn = len(picked), document.lsn
        size += len(document.body) + 1
        if size > MOST_PAGE_BYTES and group:
            del picked[group:]
            break
        picked.append(document)
    return picked


def _shows(partition: Partition, document: Document, window: Window) -> bool:
    in_range = window.minimum <= document.epk < window.maximum
    return in_range and partition.is_visible(document, window.now)
