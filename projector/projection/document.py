"""The rules: what one document turns into. The single authority on what is good.

In this order, and the first that is broken names the reason: the document is a JSON object that
decodes; its version, id and partition key are good; the soft-delete marker ends it here; its fields, in
the definition's order, and all others are good. A rejected document whose key is good yields a
tombstone as well: the row of its older version is not true any more.

`docs/reference/documents.md` has each rule with its border cases.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from projector.projection.definition import MARKER, SYSTEM_FIELDS, Definition
from projector.projection.extra import extra_of
from projector.projection.fields import Fields, Problem, read_fields
from projector.projection.identity import RowKey, Stamp, entry_key, identify, read_stamp
from projector.projection.values import exact_number, read_value
from projector.projection.writes import (
    PassedOver,
    ProjectedDocument,
    Rejection,
    RowWrite,
    Value,
)


class Rules:
    """The rules of one projection."""

    def __init__(self, definition: Definition) -> None:
        """Judge by that definition."""
        self._definition = definition
        self._not_extra = frozenset((*definition.field_names, *SYSTEM_FIELDS))

    def judge(self, raw: bytes, *, lsn: int | None = None) -> ProjectedDocument:
        """Turn one document, as the feed sent it, into a write, a rejection, or both.

        `lsn` is given for documents that were not read from the feed and bear no `_lsn`; it wins
        over one that is there. No bytes make this fail.
        """
        fields = read_fields(raw)
        stamp = read_stamp(fields, lsn=lsn)
        key = stamp.problem or identify(fields, self._definition.key)
        if isinstance(key, Problem):
            rejection = self._rejection(raw, fields, stamp, fields.problem or key)
            return ProjectedDocument(rejection=rejection)
        if is_marker(fields.values.get(MARKER)):
            return ProjectedDocument(write=_tombstone(key, stamp))
        found = fields.problem or self._values_of(fields.values)
        if isinstance(found, Problem):
            rejection = self._rejection(raw, fields, stamp, found)
            return ProjectedDocument(write=_tombstone(key, stamp), rejection=rejection)
        values, extra = found
        write = msgspec.structs.replace(
            _tombstone(key, stamp), deleted=False, values=values, extra=extra
        )
        return ProjectedDocument(write=write)

    def pass_over(self, raw: bytes, *, lsn: int | None = None) -> RowWrite | PassedOver | None:
        """What a document that is not meant stands for: no row of its key.

        A tombstone where a row of that key could be; else its key alone, for an entry that it may
        have left; None when it bears neither key nor version.
        """
        fields = read_fields(raw)
        stamp = read_stamp(fields, lsn=lsn)
        if stamp.problem is not None:
            return None
        key = identify(fields, self._definition.key)
        if isinstance(key, RowKey):
            return _tombstone(key, stamp)
        entry = entry_key(raw, fields, self._definition.key)
        return PassedOver(
            partition_key=entry.partition_key, id=entry.id, lsn=stamp.lsn, ts=stamp.ts
        )

    def _values_of(
        self, given: Mapping[str, bytes]
    ) -> tuple[tuple[Value, ...], msgspec.Raw | None] | Problem:
        values: list[Value] = []
        for field in self._definition.fields:
            value = read_value(field, given.get(field.name))
            if isinstance(value, Problem):
                return value
            values.append(value)
        extra = extra_of(given, self._not_extra)
        return extra if isinstance(extra, Problem) else (tuple(values), extra)

    def _rejection(self, raw: bytes, fields: Fields, stamp: Stamp, problem: Problem) -> Rejection:
        key = identify(fields, self._definition.key)
        entry = entry_key(raw, fields, self._definition.key)
        return Rejection(
            partition_key=entry.partition_key,
            id=entry.id,
            epk=entry.epk,
            lsn=stamp.lsn,
            ts=stamp.ts,
            etag=stamp.etag,
            reason=problem.reason,
            detail=problem.detail,
            raw=raw,
            key=key.key if isinstance(key, RowKey) else None,
        )


def is_marker(ttl: bytes | None) -> bool:
    """Whether this `ttl` is the soft-delete marker: a JSON number, whole and above zero."""
    number = exact_number(ttl) if ttl else None
    if number is None or number.startswith(b"-"):
        return False
    whole, _, fraction = number.partition(b".")
    return whole != b"0" and not fraction.strip(b"0")


def _tombstone(key: RowKey, stamp: Stamp) -> RowWrite:
    return RowWrite(key.key, key.id, key.epk, stamp.lsn, stamp.ts, stamp.etag, deleted=True)
