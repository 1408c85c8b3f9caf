"""`projector quarantine`: the documents that could not be projected, with the reason."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec

from projector.cli.context import prepared_to_look
from projector.cli.entry import enter
from projector.cli.failures import UsageError
from projector.cli.lines import answer
from projector.cli.output import print_json, print_table, shown
from projector.core.errors import ConfigurationError
from projector.postgres.connections import Connections
from projector.postgres.entries import (
    EntryStatus,
    QuarantinedDocument,
    QuarantineEntry,
    discard_entry,
    list_entries,
    reopen_entry,
    show_entry,
)
from projector.processor.clock import SystemClock
from projector.projection.writes import RejectionReason
from projector.reconcile.retry import Retried
from projector.settings import Settings
from projector.wiring import database
from projector.wiring.both_sides import both_sides
from projector.wiring.connecting import connection_options

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
PAGE = 1000
OPEN = frozenset({EntryStatus.OPEN})
EVERY_STATUS = "all"


def list_all(*, status: str, reason: str | None, cart_id: str | None, as_json: bool) -> None:
    """Show the documents that could not be projected, and why."""
    statuses = _statuses(status)
    if reason is not None and reason not in set(RejectionReason):
        raise UsageError(f"--reason is one of: {', '.join(RejectionReason)}")
    entries = _ask(
        lambda connections: _all_entries(
            connections, statuses=statuses, reason=reason, cart_id=cart_id
        )
    )
    found = [_listed(entry) for entry in entries]
    if as_json:
        print_json({"entries": found})
        return
    rows = [{**row, "sqlstate": row["sqlstate"] or "none"} for row in found]
    narrowed = reason is not None or cart_id is not None or statuses != OPEN
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
    found = _ask(lambda connections: show_entry(connections, entry_id))
    if found is None:
        raise ConfigurationError(
            f"there is no quarantine entry {entry_id}; type: projector quarantine list"
        )
    document = _whole(found)
    if as_json:
        print_json(document)
        return
    for name, value in {**document, "last_good": found.last_good}.items():
        answer(f"{name}: {'none' if value is None else shown(value)}")


def discard(entry_id: int, *, as_json: bool) -> None:
    """Set an entry aside for good: this version of the document stays discarded, also on replays."""
    if not _ask(lambda connections: discard_entry(connections, entry_id)):
        raise ConfigurationError(
            f"there is no open quarantine entry {entry_id}; type: projector quarantine list"
        )
    _tell(entry_id, EntryStatus.DISCARDED, as_json=as_json)


def reopen(entry_id: int, *, as_json: bool) -> None:
    """Take a discarded entry up again."""
    if not _ask(lambda connections: reopen_entry(connections, entry_id)):
        raise ConfigurationError(
            f"there is no discarded quarantine entry {entry_id}; type: projector quarantine list"
            " --status discarded"
        )
    _tell(entry_id, EntryStatus.OPEN, as_json=as_json)


def _tell(entry_id: int, status: EntryStatus, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": entry_id, "status": status})
        return
    answer(f"quarantine entry {entry_id} is {status}")


def retry(entry_id: int | None, *, everything: bool, as_json: bool) -> None:
    """Read documents anew from the container and apply them as they are now."""
    if (entry_id is None) != everything:
        raise UsageError("say which: projector quarantine retry ID, or --all")
    settings = prepared_to_look()

    async def command() -> Sequence[Retried]:
        async with both_sides(settings, clock=SystemClock()) as copy:
            if entry_id is None:
                return await copy.retry_all()
            return [await copy.retry_entry(entry_id)]

    done = enter(command)
    rows = [{"id": one.entry_id, "outcome": one.outcome, "detail": one.detail} for one in done]
    if as_json:
        print_json({"retried": rows})
        return
    print_table(rows, ("id", "outcome", "detail"), nothing="no document is in quarantine")


def _ask(question: Callable[[Connections], Awaitable[T]]) -> T:
    settings = prepared_to_look()
    return enter(lambda: _asked(settings, question))


async def _asked(settings: Settings, question: Callable[[Connections], Awaitable[T]]) -> T:
    async with database.target_url(settings) as url:
        await database.require_schema(url)
        async with Connections(connection_options(settings, url)) as connections:
            return await question(connections)


async def _all_entries(
    connections: Connections,
    *,
    statuses: frozenset[EntryStatus],
    reason: str | None,
    cart_id: str | None,
) -> list[QuarantineEntry]:
    found: list[QuarantineEntry] = []
    while True:
        page = await list_entries(
            connections,
            statuses=statuses,
            reason=reason,
            cart_id=cart_id,
            after=found[-1].id if found else 0,
            limit=PAGE,
        )
        found += page
        if len(page) < PAGE:
            return found


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


def _whole(found: QuarantinedDocument) -> dict[str, Any]:
    entry = found.entry
    return {
        **_listed(entry),
        "cart_id": entry.cart_id,
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
