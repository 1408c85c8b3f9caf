"""The form in which saved bookmarks are kept, in PostgreSQL and in files: one JSON document.

A reader refuses a version that it does not know, and passes over fields that it does not know. The
document must hold exactly one bookmark for each key, so one that was cut off or edited is noticed.
Source: docs/reference/bookmarks.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import msgspec

from projector.core.bookmarks import SavedPosition, Snapshot
from projector.core.errors import ConfigurationError
from projector.core.names import Continuation, SourceName
from projector.core.ranges import FULL_RANGE, FeedRange, uncovered

FORMAT = "projector-bookmarks"
VERSION = 1


class _Range(msgspec.Struct, kw_only=True):
    min: str
    max: str
    continuation: str
    lsn: int
    time: datetime | None = None


class _Name(msgspec.Struct, kw_only=True):
    account: str
    database: str
    container: str


class _Container(msgspec.Struct, kw_only=True):
    rid: str
    name: _Name | None = None


class _Target(msgspec.Struct, kw_only=True):
    id: str
    name: str = ""


class _Document(msgspec.Struct, kw_only=True):
    format: str
    version: int
    name: str
    taken_at: datetime
    container: _Container
    target: _Target
    ranges: list[_Range]


class _Head(msgspec.Struct, kw_only=True):
    format: str
    version: int


def encode(snapshot: Snapshot) -> bytes:
    """The snapshot as one line of JSON."""
    document = _Document(
        format=FORMAT,
        version=VERSION,
        name=snapshot.name,
        taken_at=snapshot.taken_at,
        container=_Container(rid=snapshot.container_rid, name=_name(snapshot.source)),
        target=_Target(id=snapshot.target_id, name=snapshot.target_name),
        ranges=[_range(position) for position in snapshot.positions],
    )
    return msgspec.json.encode(document)


def decode(text: bytes, *, where: str) -> Snapshot:
    """Read such a document.

    Raises:
        ConfigurationError: It is something else, of another version, or has not one bookmark for
            each key.
    """
    try:
        head = msgspec.json.decode(text, type=_Head)
        if (head.format, head.version) != (FORMAT, VERSION):
            raise ConfigurationError(
                f"{where} is {head.format!r} of version {head.version}; this program reads"
                f" {FORMAT!r} of version {VERSION}: take the program that wrote it, or a newer one"
            )
        found = _snapshot(msgspec.json.decode(text, type=_Document))
    except ValueError as error:  # msgspec's errors are such
        raise ConfigurationError(f"{where} holds no saved bookmarks: {error}") from error
    keys = [position.feed_range for position in found.positions]
    twice = any(one.max > other.min for one, other in pairwise(keys))
    if twice or uncovered(FULL_RANGE, keys):
        raise ConfigurationError(f"{where} has not one bookmark for each key: it was changed")
    return found


def _snapshot(found: _Document) -> Snapshot:
    """What the document says. Raises ValueError where that cannot be."""
    name = found.container.name
    return Snapshot(
        name=found.name,
        taken_at=_utc(found.taken_at),
        container_rid=found.container.rid,
        source=None
        if name is None
        else SourceName(account=name.account, database=name.database, container=name.container),
        target_id=found.target.id,
        target_name=found.target.name,
        positions=tuple(sorted(map(_position, found.ranges), key=lambda one: one.feed_range)),
    )


def _name(source: SourceName | None) -> _Name | None:
    if source is None:
        return None
    return _Name(account=source.account, database=source.database, container=source.container)


def _range(position: SavedPosition) -> _Range:
    keys = position.feed_range
    return _Range(
        min=keys.min,
        max=keys.max,
        continuation=position.continuation,
        lsn=position.lsn,
        time=position.time,
    )


def _position(found: _Range) -> SavedPosition:
    if not found.continuation:
        raise ValueError("a continuation is empty")
    return SavedPosition(
        feed_range=FeedRange(min=found.min, max=found.max),
        continuation=Continuation(found.continuation),
        lsn=found.lsn,
        time=None if found.time is None else _utc(found.time),
    )


def _utc(time: datetime) -> datetime:
    if time.utcoffset() is None:
        raise ValueError(f"the time {time.isoformat()} has no zone")
    return time.astimezone(UTC)
