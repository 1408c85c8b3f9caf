"""The timeline keeps facts with their transactions, and stands in nobody's way."""

from __future__ import annotations

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from projector.core.errors import SinkUnavailable
from projector.ports.timeline import Kind
from projector.postgres import timeline
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.timeline import forget_entries, latest_entries, record


async def told(connections: Connections) -> list[tuple[str, str]]:
    return [
        (one.kind, one.subject) for one in reversed(await latest_entries(connections, limit=100))
    ]


async def test_an_entry_tells_what_happened_to_what_and_by_whom(connections: Connections) -> None:
    assert await record(connections, Kind.RESET, "0", {"ranges": 1, "to": None}, "ada@desk")
    (entry,) = await latest_entries(connections, limit=10)
    assert (entry.kind, entry.subject, entry.actor) == ("reset", "0", "ada@desk")
    assert entry.detail == {"ranges": 1, "to": None}
    assert entry.happened_at.tzinfo is not None


async def test_an_entry_goes_with_the_transaction_of_its_fact(connections: Connections) -> None:
    async def failing() -> None:
        async with connections.transaction() as session:
            await record(session, Kind.SPLIT, "0", {}, "one")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - ours
        await failing()
    assert await told(connections) == []
    async with connections.transaction() as session:
        await record(session, Kind.SPLIT, "0", {}, "one")
    assert await told(connections) == [("split", "0")]


async def test_what_is_told_again_is_told_once(connections: Connections) -> None:
    for actor in ("one", "two"):
        assert await record(connections, Kind.MERGE, "3", {}, actor, once="merge:3")
    (entry,) = await latest_entries(connections, limit=10)
    assert entry.actor == "one"


async def test_what_is_counted_adds_up_for_each_generation(connections: Connections) -> None:
    kind = Kind.QUARANTINE_OPENED
    for detail in ({"documents": 1}, {"documents": 2, "generation": 2}, {"documents": 3}):
        await record(connections, kind, "0", detail, "one", counted="documents")
    entries = await latest_entries(connections, limit=9)
    assert sorted(one.detail["documents"] for one in entries) == [2, 4]


async def test_an_entry_that_the_server_refuses_costs_its_transaction_nothing(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "RECORD", timeline.RECORD.replace("projector.", "elsewhere."))
    with capture_logs() as lines:
        await keep_a_sample_and_an_entry(connections)
    assert [(one["event"], one["kind"]) for one in lines] == [("fact_not_kept", "split")]
    assert "elsewhere" in lines[0]["error"]
    assert [
        row["documents"] for row in await connections.all_rows(dict, "TABLE projector.samples")
    ] == [2]


async def keep_a_sample_and_an_entry(connections: Connections) -> None:
    async with connections.transaction() as session:
        await session.execute("INSERT INTO projector.samples VALUES (now(), 1, 0, false)")
        assert not await record(session, Kind.SPLIT, "0", {}, "one")
        await session.execute("UPDATE projector.samples SET documents = 2")


async def test_a_target_that_is_down_loses_the_entry_alone(unused_tcp_port: int) -> None:
    url = f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/none"
    async with Connections(ConnectionOptions(url=url, acquire_seconds=0.2)) as nobody:
        assert not await record(nobody, Kind.HOST_STARTED, "one", {}, "one")
        with pytest.raises(SinkUnavailable):
            await latest_entries(nobody, limit=1)


async def test_texts_of_strangers_steer_no_screen_and_are_cut(connections: Connections) -> None:
    await record(
        connections, Kind.SPLIT, "a\x00b\x1b[2J", {"ids": ["\ud800", "x" * 5000]}, "\u202eadmin"
    )
    (entry,) = await latest_entries(connections, limit=1)
    assert (entry.subject, entry.actor) == ("a\\x00b\\x1b[2J", "\\u202eadmin")
    assert entry.detail["ids"][0] == "\\ud800"
    assert len(entry.detail["ids"][1]) == timeline.LONGEST_TEXT


async def test_what_is_old_goes_and_so_does_what_is_too_much_of_a_kind(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "MOST_OF_A_KIND", 2)
    await record(connections, Kind.RESET, "old", {}, "ada")
    await connections.all_rows(
        dict, "UPDATE projector.timeline SET happened_at = now() - interval '2 days' RETURNING id"
    )
    await record(connections, Kind.REBUILD_PROMOTED, "2", {}, "ada")
    for at in range(4):
        await record(connections, Kind.SPLIT, str(at), {}, "one")
    assert await forget_entries(connections, age=timedelta(days=1)) == 3
    assert await told(connections) == [
        ("rebuild_promoted", "2"),
        ("split", "2"),
        ("split", "3"),
    ]


async def test_entries_are_asked_for_since_a_time(connections: Connections) -> None:
    for subject in ("0", "1"):
        await record(connections, Kind.SPLIT, subject, {}, "one")
    newest, _ = await latest_entries(connections, limit=10)
    found = await latest_entries(connections, limit=10, since=newest.happened_at)
    assert [one.subject for one in found] == ["1"]
