"""Rejected documents: kept, tied to their rows, healed, and never paid for by their neighbours."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from projector.ports.feed import Beginning, Grant
from projector.ports.quarantine import EntryStatus
from projector.postgres.connections import Connections
from projector.postgres.quarantine import (
    count_open,
    discard_entry,
    list_entries,
    reopen_entry,
    show_entry,
)
from projector.postgres.sink import PostgresSink
from projector.projection.carts import CARTS
from projector.projection.writes import Rejection, RowWrite
from tests.integration.postgres.carts import (
    apply,
    begun,
    line,
    page,
    position,
    rejection,
    rows,
    tombstone,
    views,
)

ALL = frozenset(EntryStatus)


async def the_entry(connections: Connections) -> Mapping[str, Any]:
    entries = await list_entries(connections, statuses=ALL)
    assert len(entries) == 1
    entry = entries[0]
    return {"status": entry.status, "lsn": entry.lsn, "count": entry.count, "id": entry.id}


def rejected(lsn: int) -> Any:
    """A page whose one document is rejected: its row has to go."""
    return page(tombstone("a", "1", lsn), rejections=[rejection("a", "1", lsn)])


def keyless(document_id: str, lsn: int, **changes: Any) -> Rejection:
    """A rejected document that no row can be of."""
    made = rejection("a", document_id, lsn, **changes)
    return msgspec.structs.replace(made, key=None)


async def test_rejected_newest_version_removes_the_row_and_keeps_it(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 1, quantity="7.50"), line("a", "2", 2)))
    done = await apply(sink, grant, rejected(3))
    assert (done.rejected, done.removed) == (1, 1)
    assert {row[1] for row in (await views(connections))["cart_items"]} == {"2"}
    entry = (await list_entries(connections))[0]
    assert (entry.partition_key, entry.document_id, entry.reason) == ('"a"', "1", "bad_quantity")
    shown = await show_entry(connections, entry.id)
    assert shown is not None
    assert shown.raw == b'{"quantity": "two"}'
    assert shown.last_good is not None
    good = json.loads(shown.last_good)
    assert (good["quantity"], good["item"]) == (7.5, "Surface")


async def test_a_discarded_entry_can_be_taken_up_again(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, rejected(3))
    (entry,) = await list_entries(connections)
    assert not await reopen_entry(connections, entry.id)
    assert await discard_entry(connections, entry.id)
    assert await list_entries(connections) == []
    assert await reopen_entry(connections, entry.id)
    assert await list_entries(connections) == [entry]


async def test_entries_can_be_narrowed_down(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, rejected(3))
    assert len(await list_entries(connections, reason="bad_quantity")) == 1
    assert await list_entries(connections, reason="bad_item") == []
    assert await list_entries(connections, key="another") == []


async def test_newer_good_version_heals(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, rejected(3))
    await apply(sink, grant, page(line("b", "1", 4)))
    assert (await the_entry(connections))["status"] is EntryStatus.OPEN
    await apply(sink, grant, page(line("a", "1", 5)))
    assert await the_entry(connections) == {
        "status": EntryStatus.CLOSED,
        "lsn": 5,
        "count": 1,
        "id": 1,
    }
    assert {row[0] for row in (await views(connections))["cart_items"]} == {"a", "b"}


@pytest.mark.parametrize(
    ("later", "status", "left"),
    [
        pytest.param(tombstone("a", "1", 4), EntryStatus.CLOSED, 0, id="a newer delete"),
        pytest.param(line("a", "1", 2), EntryStatus.OPEN, 0, id="an older good version"),
        pytest.param(line("a", "1", 3), EntryStatus.CLOSED, 1, id="the same version, found good"),
    ],
)
async def test_what_comes_later_closes_an_entry_unless_it_is_older(
    connections: Connections, sink: PostgresSink, later: RowWrite, status: EntryStatus, left: int
) -> None:
    grant = await begun(sink)
    await apply(sink, grant, rejected(3))
    await apply(sink, grant, page(later))
    assert (await the_entry(connections))["status"] is status
    assert len((await views(connections))["cart_items"]) == left


async def test_older_rejection_leaves_a_newer_row_alone(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 5)))
    await apply(sink, grant, rejected(3))
    assert await list_entries(connections, statuses=ALL) == []
    assert len((await views(connections))["cart_items"]) == 1


async def test_replay_counts_again_and_keeps_what_was_discarded(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, rejected(3))
    assert await discard_entry(connections, (await the_entry(connections))["id"])
    assert not await discard_entry(connections, (await the_entry(connections))["id"])
    await apply(sink, grant, rejected(3))
    assert (await the_entry(connections))["status"] is EntryStatus.DISCARDED
    assert (await the_entry(connections))["count"] == 2
    await apply(sink, grant, rejected(4))
    assert (await the_entry(connections))["status"] is EntryStatus.OPEN
    assert await count_open(connections) == 1


async def test_range_that_is_opened_anew_still_heals(
    connections: Connections, sink: PostgresSink
) -> None:
    await apply(sink, await begun(sink), rejected(3))
    grant = await sink.open((await begun(sink)).claim)
    grant = await sink.begin(grant, Beginning(position=position(3)))
    await apply(sink, grant, page(line("a", "1", 5)))
    assert await count_open(connections) == 0


async def test_documents_without_a_row_are_kept_apart_by_their_key(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    numbers = [
        keyless("1", lsn, partition_key=text, epk=None)
        for lsn, text in enumerate(['"5"', "5", "null", "{}", "\\x00"], 1)
    ]
    await apply(sink, grant, page(rejections=numbers))
    entries = await list_entries(connections)
    assert {entry.partition_key for entry in entries} == {'"5"', "5", "null", "{}", "\\x00"}


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "\\", "é"], ids=ascii)
async def test_any_text_of_a_rejection_can_be_stored(
    connections: Connections, sink: PostgresSink, text: str, grant: Grant
) -> None:
    odd = keyless(text, 1, detail=text, etag=text, partition_key=text)
    await apply(sink, grant, page(rejections=[odd]))
    await apply(sink, grant, page(rejections=[odd]))
    assert [entry.count for entry in await list_entries(connections)] == [2]


def refused(document_id: str, lsn: int, **changes: Any) -> RowWrite:
    """A write that projection would not make, and no table takes."""
    good = line("a", document_id, lsn)
    extra = changes.pop("extra", None)
    values = {**dict(zip(CARTS.columns, good.values, strict=True)), **changes}
    return msgspec.structs.replace(good, values=tuple(values.values()), extra=extra)


REFUSED: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "not a number": ({"quantity": msgspec.Raw(b'"NaN"')}, "23514"),
    "too large": ({"quantity": msgspec.Raw(b"1e40")}, "23514"),
    "no item": ({"item": None}, "23514"),
    "wrong currency": ({"currency": "eur"}, "23514"),
    "no json": ({"extra": msgspec.Raw(b'{"a":}')}, "22P02"),
    "too deep": ({"extra": msgspec.Raw(b"[" * 50_000 + b"]" * 50_000)}, "54001"),
    "nul in json": ({"extra": msgspec.Raw(b'{"a":"\\u0000"}')}, "22P05"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_the_server_refuses_costs_only_itself(
    connections: Connections, returning_old: bool | None, name: str
) -> None:
    sink = PostgresSink(connections, returning_old=returning_old)
    grant = await begun(sink)
    changes, sqlstate = REFUSED[name]
    await apply(sink, grant, page(line("a", "7", 1, quantity="5")))
    writes = [line("a", str(n), 10 + n) for n in range(30)]
    writes[7] = refused("7", 17, **changes)
    done = await apply(sink, grant, page(*writes), at=40)
    assert (done.upserted, done.removed, done.rejected) == (29, 1, 1)
    entries = await list_entries(connections)
    assert [(e.document_id, e.reason, e.sqlstate) for e in entries] == [
        ("7", "refused_by_target", sqlstate)
    ]
    assert (await sink.open(grant.claim)).stored == position(40)
    found = await views(connections)
    assert found["item_totals"] == {("Surface", 29, 29)}


async def test_many_refused_documents_in_one_batch(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    writes = [
        refused(f"{n:03}", n, currency="eur") if n % 10 == 0 else line("a", f"{n:03}", n)
        for n in range(1, 101)
    ]
    done = await apply(sink, grant, page(*writes))
    assert (done.upserted, done.rejected) == (90, 10)
    again = await apply(sink, grant, page(*writes))
    assert (again.upserted, again.rejected) == (0, 10)
    assert await count_open(connections) == 10


async def test_bisecting_moves_the_ticks_once(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    writes = [line("a", str(n), n + 1) for n in range(8)]
    writes[3] = refused("3", 4, currency="eur")
    await apply(sink, grant, page(*writes))
    async with connections.session() as session:
        found = await rows(session, "SELECT tick, recent_ticks, read_tick FROM projector.ranges")
    assert found == [(2, [2, 1, 1, 1], 1)]


async def test_key_too_long_for_an_index_is_quarantined_without_a_row(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    draw = random.Random(1)
    long_id = "".join(chr(draw.randint(0x4E00, 0x9FFF)) for _ in range(3000))
    done = await apply(sink, grant, page(line("a", "1", 1), line("a", long_id, 2)))
    assert (done.upserted, done.rejected) == (1, 1)
    assert [entry.sqlstate for entry in await list_entries(connections)] == ["54000"]
