"""Why SQL says what it says about one key: a decision in words for each document. Pure.

Joins three witnesses by document id: the container's documents as they are now, the rows and
tombstones, the quarantine. It decides nothing for the tables; it tells what was decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from projector.core.texts import moment
from projector.ports.explanation import StoredEntry, StoredKey, StoredPosition, StoredRow
from projector.projection.project import Projection
from projector.projection.writes import ProjectedPage, Rejection, RowWrite


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One document of the key.

    Attributes:
        in_container: `good`, `marked`, `rejected`, `passed over` or `absent`.
        in_rows: `live`, `tombstone` or `absent`.
        decision: in words, what was decided last and why.
    """

    id: str
    in_container: str
    in_rows: str
    etag: str | None
    decision: str
    row: StoredRow | None
    entry: StoredEntry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedKey:
    """A key as it is stored, and why."""

    stored: StoredKey
    documents: Sequence[Explanation]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """The witnesses of one document id."""

    write: RowWrite | None
    rejection: Rejection | None
    row: StoredRow | None
    entry: StoredEntry | None
    position: StoredPosition | None
    passed_over: bool
    noun: str

    @property
    def in_container(self) -> str:
        if self.passed_over:
            return "passed over"
        if self.rejection is not None:
            return "rejected"
        if self.write is None:
            return "absent"
        return "marked" if self.write.deleted else "good"

    @property
    def in_rows(self) -> str:
        if self.row is None:
            return "absent"
        return "tombstone" if self.row.deleted else "live"

    @property
    def open_entry(self) -> StoredEntry | None:
        return None if self.entry is None or self.entry.status == "closed" else self.entry


def explain(
    pages: Sequence[bytes], stored: StoredKey, projection: Projection
) -> Sequence[Explanation]:
    """One explanation per document id, by id."""
    writes: dict[str, RowWrite] = {}
    rejections: dict[str, Rejection] = {}
    passed_over: set[str] = set()
    everything = Projection(projection.definition)
    for body in pages:
        page = projection.page(body, lsn=0)
        passed_over |= _passed_over(everything.page(body, lsn=0), page)
        writes.update({one.id: one for one in page.writes})
        rejections.update({one.id: one for one in page.rejections})
    rows = {one.id: one for one in stored.rows}
    entries = {one.document_id: one for one in stored.entries}
    told = []
    for id_ in sorted({*writes, *rejections, *rows, *entries}):
        case = _Case(
            write=writes.get(id_),
            rejection=rejections.get(id_),
            row=rows.get(id_),
            entry=entries.get(id_),
            position=stored.position,
            passed_over=id_ in passed_over,
            noun=projection.definition.noun,
        )
        told.append(_explanation(id_, case))
    return told


def _explanation(id_: str, case: _Case) -> Explanation:
    newest = case.rejection or case.write
    return Explanation(
        id=id_,
        in_container=case.in_container,
        in_rows=case.in_rows,
        etag=newest.etag if newest is not None else None,
        decision=_DECISIONS[case.in_container](case),
        row=case.row,
        entry=case.entry,
    )


def _passed_over(whole: ProjectedPage, page: ProjectedPage) -> set[str]:
    """Ids that would be rows or rejected, were all documents meant."""
    told = {one.id for one in whole.writes if not one.deleted}
    told |= {one.id for one in whole.rejections}
    kept = {one.id for one in page.writes if not one.deleted}
    return told - kept - {one.id for one in page.rejections}


def _good(case: _Case) -> str:
    row, write = case.row, case.write
    if row is not None and write is not None and not row.deleted:
        if row.etag == write.etag:
            return f"copied: the row is this very version, applied at {_version(row)}"
        return f"behind: the row is an older version, of {_version(row)}; {_progress(case)}"
    entry = case.open_entry
    if entry is not None and write is not None and entry.etag == write.etag:
        return f"refused by PostgreSQL: {entry.detail}; quarantine entry {entry.entry_id}"
    since = None if case.position is None else case.position.read_since
    if row is None and write is not None and since is not None and write.ts < since.timestamp():
        return f"left out: it was last changed before {moment(since)}, where the copy starts"
    if row is not None:
        return f"behind: an older version was removed, at {_version(row)}; {_progress(case)}"
    return f"not applied yet; {_progress(case)}"


def _marked(case: _Case) -> str:
    row = case.row
    if row is None:
        return (
            "no row: the document bears a positive ttl, the mark of a deletion, and never had one"
        )
    if row.deleted:
        return (
            f"removed at {_version(row)}: the document bears a positive ttl, the mark of a deletion"
        )
    return f"behind: the document was marked as deleted since {_version(row)}; {_progress(case)}"


def _not_meant(case: _Case) -> str:
    row = case.row
    if row is not None and not row.deleted:
        return (
            f"behind: the filter passes this document over since {_version(row)}; {_progress(case)}"
        )
    return (
        "no row: the filter (PROJECTOR_ONLY_WHERE, PROJECTOR_ONLY_WITH) passes this document over"
    )


def _rejected(case: _Case) -> str:
    entry, rejection = case.open_entry, case.rejection
    why = "" if rejection is None else f"{rejection.reason}: {rejection.detail}"
    if entry is None:
        return f"not good ({why}), and not in quarantine yet; {_progress(case)}"
    if entry.status == "discarded":
        return f"not good ({why}); discarded by hand, quarantine entry {entry.entry_id}"
    return f"not good ({why}); kept as quarantine entry {entry.entry_id}, its row is removed"


def _absent(case: _Case) -> str:
    row, entry = case.row, case.open_entry
    if row is not None and not row.deleted:
        return (
            f"extra: the document is gone (deleted outright, or expired unread), its row is of"
            f" {_version(row)}; the next replay or `projector verify --repair` removes it"
        )
    if entry is not None:
        return f"gone; quarantine entry {entry.entry_id} closes with the next replay or a retry"
    if row is None:
        return "gone; it was rejected once, and its quarantine entry is closed"
    if not row.etag:
        return f"removed at {_version(row)}: a point read found the document gone"
    return f"removed at {_version(row)} by the mark of a deletion; the document has expired since"


_DECISIONS = {
    "good": _good,
    "marked": _marked,
    "rejected": _rejected,
    "passed over": _not_meant,
    "absent": _absent,
}


def _version(row: StoredRow) -> str:
    return f"LSN {row.lsn} of lineage {row.lineage} ({moment(datetime.fromtimestamp(row.ts, UTC))})"


def _progress(case: _Case) -> str:
    """How far the range of the key is, and whether somebody moves it."""
    position = case.position
    if position is None:
        return f"no range of PostgreSQL holds this {case.noun}: start a host"
    owner = position.owner or "nobody"
    state = f", {position.state}" if position.state else ""
    error = f", last error: {position.last_error}" if position.last_error else ""
    return (
        f"lease {position.lease_token} of {owner} is at LSN"
        f" {'unknown' if position.lsn is None else position.lsn}{state}{error}"
    )
