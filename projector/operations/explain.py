"""Why SQL says what it says about one cart: a decision in words for each document. Pure.

Joins three witnesses by document id: the container's documents as they are now, the rows and
tombstones, the quarantine. It decides nothing for the tables; it tells what was decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from projector.ports.explanation import StoredCart, StoredEntry, StoredLine, StoredPosition
from projector.projection.project import Projection
from projector.projection.writes import ProjectedPage, Rejection, RowWrite


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One document of the cart.

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
    line: StoredLine | None
    entry: StoredEntry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedCart:
    """A cart as it is stored, and why."""

    stored: StoredCart
    documents: Sequence[Explanation]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """The witnesses of one document id."""

    write: RowWrite | None
    rejection: Rejection | None
    line: StoredLine | None
    entry: StoredEntry | None
    position: StoredPosition | None
    passed_over: bool

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
        if self.line is None:
            return "absent"
        return "tombstone" if self.line.deleted else "live"

    @property
    def open_entry(self) -> StoredEntry | None:
        return None if self.entry is None or self.entry.status == "closed" else self.entry


def explain(
    pages: Sequence[bytes], stored: StoredCart, projection: Projection
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
    lines = {one.id: one for one in stored.lines}
    entries = {one.document_id: one for one in stored.entries}
    told = []
    for id_ in sorted({*writes, *rejections, *lines, *entries}):
        case = _Case(
            write=writes.get(id_),
            rejection=rejections.get(id_),
            line=lines.get(id_),
            entry=entries.get(id_),
            position=stored.position,
            passed_over=id_ in passed_over,
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
        line=case.line,
        entry=case.entry,
    )


def _passed_over(whole: ProjectedPage, page: ProjectedPage) -> set[str]:
    """Ids that would be rows or rejected, were all documents meant."""
    told = {one.id for one in whole.writes if not one.deleted}
    told |= {one.id for one in whole.rejections}
    kept = {one.id for one in page.writes if not one.deleted}
    return told - kept - {one.id for one in page.rejections}


def _good(case: _Case) -> str:
    line, write = case.line, case.write
    if line is not None and write is not None and not line.deleted:
        if line.etag == write.etag:
            return f"copied: the row is this very version, applied at {_version(line)}"
        return f"behind: the row is an older version, of {_version(line)}; {_progress(case)}"
    entry = case.open_entry
    if entry is not None and write is not None and entry.etag == write.etag:
        return f"refused by PostgreSQL: {entry.detail}; quarantine entry {entry.entry_id}"
    since = None if case.position is None else case.position.read_since
    if line is None and write is not None and since is not None and write.ts < since.timestamp():
        return f"left out: it was last changed before {_time(since)}, where the copy starts"
    if line is not None:
        return f"behind: an older version was removed, at {_version(line)}; {_progress(case)}"
    return f"not applied yet; {_progress(case)}"


def _marked(case: _Case) -> str:
    line = case.line
    if line is None:
        return (
            "no row: the document bears a positive ttl, the mark of a deletion, and never had one"
        )
    if line.deleted:
        return f"removed at {_version(line)}: the document bears a positive ttl, the mark of a deletion"
    return f"behind: the document was marked as deleted since {_version(line)}; {_progress(case)}"


def _not_meant(case: _Case) -> str:
    line = case.line
    if line is not None and not line.deleted:
        return f"behind: the filter passes this document over since {_version(line)}; {_progress(case)}"
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
    line, entry = case.line, case.open_entry
    if line is not None and not line.deleted:
        return (
            f"extra: the document is gone (deleted outright, or expired unread), its row is of"
            f" {_version(line)}; the next replay or `projector verify --repair` removes it"
        )
    if entry is not None:
        return f"gone; quarantine entry {entry.entry_id} closes with the next replay or a retry"
    if line is None:
        return "gone; it was rejected once, and its quarantine entry is closed"
    if not line.etag:
        return f"removed at {_version(line)}: a point read found the document gone"
    return f"removed at {_version(line)} by the mark of a deletion; the document has expired since"


_DECISIONS = {
    "good": _good,
    "marked": _marked,
    "rejected": _rejected,
    "passed over": _not_meant,
    "absent": _absent,
}


def _version(line: StoredLine) -> str:
    return (
        f"LSN {line.lsn} of lineage {line.lineage} ({_time(datetime.fromtimestamp(line.ts, UTC))})"
    )


def _progress(case: _Case) -> str:
    """How far the range of the cart is, and whether somebody moves it."""
    position = case.position
    if position is None:
        return "no range of PostgreSQL holds this cart: start a host"
    owner = position.owner or "nobody"
    state = f", {position.state}" if position.state else ""
    error = f", last error: {position.last_error}" if position.last_error else ""
    return (
        f"lease {position.lease_token} of {owner} is at LSN"
        f" {'unknown' if position.lsn is None else position.lsn}{state}{error}"
    )


def _time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
