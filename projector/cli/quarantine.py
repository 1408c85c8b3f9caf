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
    QuarantinedDocument,
    QuarantineEntry,
    discard_entry,
    list_entries,
    show_entry,
)
from projector.processor.clock import SystemClock
from projector.rebuild.retry import Retried
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


def list_all(*, as_json: bool) -> None:
    """Show the documents that could not be projected, and why."""
    found = [_listed(entry) for entry in _ask(_all_entries)]
    if as_json:
        print_json({"entries": found})
        return
    rows = [{**row, "sqlstate": row["sqlstate"] or "none"} for row in found]
    print_table(rows, COLUMNS, nothing="no document is in quarantine")


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


def discard(entry_id: int) -> None:
    """Set an entry aside for good: this version of the document stays discarded, also on replays."""
    if not _ask(lambda connections: discard_entry(connections, entry_id)):
        raise ConfigurationError(
            f"there is no open quarantine entry {entry_id}; type: projector quarantine list"
        )
    answer(f"quarantine entry {entry_id} is discarded")


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


async def _all_entries(connections: Connections) -> list[QuarantineEntry]:
    found: list[QuarantineEntry] = []
    while True:
        page = await list_entries(connections, after=found[-1].id if found else 0, limit=PAGE)
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
    }


def _whole(found: QuarantinedDocument) -> dict[str, Any]:
    entry = found.entry
    return {
        **_listed(entry),
        "status": entry.status,
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
