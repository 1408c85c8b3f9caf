"""`projector quarantine`: the documents that could not be projected, with the reason."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from projector.cli.entry import enter, prepared_to_look
from projector.cli.failures import UsageError
from projector.cli.lines import answer
from projector.cli.output import print_json, print_table, shown
from projector.operations.quarantine import Quarantine
from projector.ports.quarantine import EntryStatus, QuarantinedDocument, QuarantineEntry
from projector.processor.clock import SystemClock
from projector.projection.writes import RejectionReason
from projector.settings import Settings
from projector.wiring import commands

T = TypeVar("T")
COLUMNS = (
    "id",
    "partition_key",
    "document_id",
    "reason",
    "detail",
    "sqlstate",
    "first_seen_at",
    "count",
)
OPEN = frozenset({EntryStatus.OPEN})
EVERY_STATUS = "all"


def list_all(*, status: str, reason: str | None, key: str | None, as_json: bool) -> None:
    """Show the documents that could not be projected, and why."""
    statuses = _statuses(status)
    if reason is not None and reason not in set(RejectionReason):
        raise UsageError(f"--reason is one of: {', '.join(RejectionReason)}")
    settings = prepared_to_look()
    entries = enter(
        lambda: commands.quarantined(settings, statuses=statuses, reason=reason, key=key)
    )
    found = [_listed(entry) for entry in entries]
    if as_json:
        print_json({"entries": found})
        return
    rows = [{**row, "sqlstate": row["sqlstate"] or "none"} for row in found]
    narrowed = reason is not None or key is not None or statuses != OPEN
    print_table(
        rows,
        COLUMNS,
        nothing="no such document is in quarantine" if narrowed else "no document is in quarantine",
    )


def _statuses(status: str) -> frozenset[EntryStatus]:
    if status == EVERY_STATUS:
        return frozenset(EntryStatus)
    if status not in set(EntryStatus):
        raise UsageError(f"--status is one of: {', '.join([*EntryStatus, EVERY_STATUS])}")
    return frozenset({EntryStatus(status)})


def show(entry_id: int, *, as_json: bool) -> None:
    """Show one entry in full: its document as it came, and the last good row."""
    settings = prepared_to_look()
    found = _ask(settings, lambda quarantine: quarantine.show(entry_id))
    document = _whole(found, key_column=settings.projection.definition.key.column)
    if as_json:
        print_json(document)
        return
    for name, value in {**document, "last_good": found.last_good}.items():
        answer(f"{name}: {'none' if value is None else shown(value)}")


def discard(entry_id: int, *, as_json: bool) -> None:
    """Set an entry aside for good: this version of the document stays discarded, also on replays."""
    _decide(entry_id, lambda quarantine: quarantine.discard(entry_id), as_json=as_json)


def reopen(entry_id: int, *, as_json: bool) -> None:
    """Take a discarded entry up again."""
    _decide(entry_id, lambda quarantine: quarantine.reopen(entry_id), as_json=as_json)


def _decide(
    entry_id: int, decision: Callable[[Quarantine], Awaitable[EntryStatus]], *, as_json: bool
) -> None:
    status = _ask(prepared_to_look(), decision)
    if as_json:
        print_json({"id": entry_id, "status": status})
        return
    answer(f"quarantine entry {entry_id} is {status}")


def retry(entry_id: int | None, *, everything: bool, as_json: bool) -> None:
    """Read documents anew from the container and apply them as they are now."""
    if (entry_id is None) != everything:
        raise UsageError("say which: projector quarantine retry ID, or --all")
    settings = prepared_to_look()
    done = enter(lambda: commands.retry(settings, entry_id, clock=SystemClock()))
    rows = [{"id": one.entry_id, "outcome": one.outcome, "detail": one.detail} for one in done]
    if as_json:
        print_json({"retried": rows})
        return
    print_table(rows, ("id", "outcome", "detail"), nothing="no document is in quarantine")


def _ask(settings: Settings, question: Callable[[Quarantine], Awaitable[T]]) -> T:
    async def asked() -> T:
        async with commands.quarantine(settings) as quarantine:
            return await question(quarantine)

    return enter(asked)


def _listed(entry: QuarantineEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "partition_key": entry.partition_key,
        "document_id": entry.document_id,
        "reason": entry.reason,
        "detail": entry.detail,
        "sqlstate": entry.sqlstate,
        "first_seen_at": entry.first_seen_at,
        "last_seen_at": entry.last_seen_at,
        "count": entry.count,
        "status": entry.status,
    }


def _whole(found: QuarantinedDocument, *, key_column: str) -> dict[str, Any]:
    entry = found.entry
    return {
        **_listed(entry),
        key_column: entry.key,
        "lsn": entry.lsn,
        "ts": entry.ts,
        "etag": entry.etag,
        "closed_at": entry.closed_at,
        "last_good": None if found.last_good is None else msgspec.Raw(found.last_good.encode()),
        **_raw(found.raw),
    }


def _raw(raw: bytes) -> dict[str, str]:
    """The document as text where it is text, else as Base64."""
    try:
        return {"raw": raw.decode()}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(raw).decode()}
