"""A database that was moved, by whatever way, goes on beside hosts and leases that are ahead of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from projector.core.errors import FencedOut, SinkUnavailable
from projector.core.names import InstanceName
from projector.core.states import RangeState
from projector.ports.feed import Grant, RangeReport
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.embedded_programs import find_programs
from projector.postgres.quarantine import list_entries
from projector.postgres.resets import request_replay
from projector.postgres.sequences import HIGHEST
from projector.postgres.sink import PostgresSink
from tests.fixtures.postgres import database_name, new_database
from tests.integration.postgres.carts import (
    RID,
    apply,
    begun,
    claim,
    line,
    page,
    position,
    rejection,
    rows,
    tombstone,
    views,
)

Move = Callable[[str, str, str], None]
TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname LIKE 'projector%' AND c.relkind = 'r'
ORDER BY n.nspname, c.relname <> 'ranges', c.relname"""
NUMBERED = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND n.nspname LIKE 'projector%'"""
WITHOUT_IDENTITY = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname LIKE 'projector%' AND c.relreplident = 'd'
  AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)"""


def rows_alone(old: str, new: str, _folder: str) -> None:
    """As logical replication does it: every row, no sequence, and no trigger."""
    with psycopg.connect(old) as source, psycopg.connect(new, autocommit=True) as target:
        target.execute("SET session_replication_role = replica")
        for name in source.execute(TABLES).fetchall():
            table = sql.Identifier(*name)
            target.execute(sql.SQL("DELETE FROM {}").format(table))
            with (
                source.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(table)) as out,
                target.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(table)) as into,
            ):
                for data in out:
                    into.write(data)
        for (sequence,) in target.execute(NUMBERED).fetchall():
            target.execute("SELECT setval(%s::regclass, 1, false)", [sequence])


def dumped(old: str, new: str, folder: str) -> None:
    programs = find_programs(Path(folder), lambda _line: None).folder
    with psycopg.connect(new, autocommit=True) as target:
        for name in ("carts", "projector_g1", "projector"):
            target.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
    dump = subprocess.run(
        [programs / "pg_dump", "--format=custom", old], check=True, capture_output=True
    )
    subprocess.run(
        [programs / "pg_restore", "--exit-on-error", f"--dbname={new}"],
        input=dump.stdout,
        check=True,
        capture_output=True,
        env={**os.environ, "PGOPTIONS": ""},
    )


@contextmanager
def moved(server: str, template: str, old: str, how: Move | None, folder: str) -> Iterator[str]:
    """The database as it is now, elsewhere; without a way: file by file, as a physical copy."""
    with new_database(server, template=database_name(old) if how is None else template) as new:
        if how is not None:
            how(old, new, folder)
        yield new


def report(grant: Grant) -> RangeReport:
    return RangeReport(
        lease_token=grant.claim.lease_token,
        feed_range=grant.claim.feed_range,
        owner=InstanceName("host-a"),
        state=RangeState.READING,
        state_since=datetime(2026, 1, 1, tzinfo=UTC),
        range_id=grant.range_id,
        epoch=grant.epoch,
        gap_changes=0,
    )


async def filled(sink: PostgresSink) -> Grant:
    """A range that was opened several times, with entries, a replay that is open, and a report."""
    for owner in ("host-a", "host-b"):
        await begun(sink, owner=owner, mark=100)
    grant = await begun(sink, mark=100)
    bad = [("a", str(n), 2) for n in range(5)]
    await apply(
        sink,
        grant,
        page(
            line("b", "1", 1, price="2.50", currency="EUR"),
            *(tombstone(*one) for one in bad),
            rejections=[rejection(*one) for one in bad],
        ),
        at=2,
    )
    await sink.report([report(grant)])
    return grant


@pytest.mark.parametrize("ahead", [False, True], ids=["up to date", "to an earlier time"])
@pytest.mark.parametrize("how", [rows_alone, dumped, None], ids=["rows alone", "dump", "files"])
async def test_a_moved_database_goes_on(
    postgres_server_url: str,
    migrated_template: str,
    database_url: str,
    tmp_path: Path,
    how: Move | None,
    *,
    ahead: bool,
) -> None:
    async with Connections(ConnectionOptions(url=database_url)) as before:
        sink = PostgresSink(before)
        held = await filled(sink)
        expected = await views(before)
    with moved(postgres_server_url, migrated_template, database_url, how, str(tmp_path)) as url:
        if ahead:  # hosts and leases saw what the database knows nothing of
            async with Connections(ConnectionOptions(url=database_url)) as before:
                sink = PostgresSink(before)
                held = await begun(sink, mark=100)
                await apply(sink, held, page(line("c", "1", 5)), at=5)
        async with Connections(ConnectionOptions(url=url)) as connections:
            assert await views(connections) == expected
            await goes_on(connections, held, ahead=ahead)


async def goes_on(connections: Connections, held: Grant, *, ahead: bool) -> None:
    """What the first host that comes does: write, lose what it held, open, report, reset."""
    sink = PostgresSink(connections)
    if ahead:
        with pytest.raises(FencedOut):
            await apply(sink, held, page(line("c", "2", 6)), at=6)
    grant = await sink.open(claim())
    assert grant.epoch > held.epoch or ahead
    assert grant.stored is not None
    assert grant.stored.lsn == 2
    assert await sink.report([report(grant)]) == frozenset()
    async with connections.session() as session:
        assert await rows(session, "SELECT epoch FROM projector.range_reports") == [(grant.epoch,)]
    await apply(sink, grant, page(rejections=[rejection("z", "new", 7)]), at=7)
    assert len(await list_entries(connections)) == 6
    assert await request_replay(connections, RID) == 1
    again = await begun(sink, mark=7)
    assert again.epoch > grant.epoch
    assert again.replay_open


async def test_entries_are_stored_without_opening_the_range_anew(
    migrated_template: str, postgres_server_url: str, database_url: str, tmp_path: Path
) -> None:
    """A host that was connected to the old database goes on with the new one under the same epoch."""
    async with Connections(ConnectionOptions(url=database_url)) as before:
        held = await filled(PostgresSink(before))
    with moved(
        postgres_server_url, migrated_template, database_url, rows_alone, str(tmp_path)
    ) as url:
        async with Connections(ConnectionOptions(url=url)) as connections:
            sink = PostgresSink(connections)
            sink._committed[held.range_id] = held.epoch, position(2).continuation
            bad = page(rejections=[rejection("z", "new", 7)])
            with pytest.raises(SinkUnavailable) as taken:
                await apply(sink, held, bad, at=7)
            assert taken.value.sqlstate == "23505"
            await apply(sink, held, bad, at=7)
            assert len(await list_entries(connections)) == 6


async def test_every_sequence_is_looked_after(connections: Connections) -> None:
    async with connections.session() as session:
        found = {name for (name,) in await rows(session, NUMBERED)}
        assert found == {name.removeprefix("projector.") for name in HIGHEST}


async def test_every_table_can_be_replicated_logically(connections: Connections) -> None:
    """A table without an identity refuses updates as soon as it is published."""
    async with connections.session() as session:
        assert await rows(session, WITHOUT_IDENTITY) == []
