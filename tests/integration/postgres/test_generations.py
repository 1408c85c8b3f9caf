"""Generations are made, made live, gone back to and dropped."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from projector.core.errors import RebuildError, SchemaMismatch, SinkUnavailable
from projector.ports.filling import NotLoaded
from projector.postgres import both_views, retiring, switching
from projector.postgres import generations as registry
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.switching import RangePosition, why_behind
from tests.integration.postgres.carts import apply, begun, page, rejection
from tests.integration.postgres.generations import (
    WHO,
    beside,
    fed,
    feeding,
    made,
    one,
    promoted,
    snapshot_of,
)


async def test_a_generation_becomes_live_and_the_former_one_live_again(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    await beside(connections, database_url, lines=2)
    assert one(sql, "SELECT line_count FROM carts.cart_totals") == 1
    await promoted(connections, 2, report={"missing": 0})
    assert one(sql, "SELECT line_count FROM carts.cart_totals") == 2
    assert one(sql, "SELECT count(*) FROM carts.cart_items") == 2
    assert one(sql, "SELECT position_time FROM carts.freshness WHERE feed_range = 'all'")
    now = await registry.records(connections)
    assert [(r.id, r.state) for r in now] == [(2, "live"), (1, "former")]
    assert now[1].fed_until is not None
    assert now[1].live_until == now[0].live_from
    assert now[0].processor_name == "projector@g2"
    back = await switching.rollback(connections, keep_seconds=60, who=WHO)
    assert back.record.id == 1
    assert one(sql, "SELECT line_count FROM carts.cart_totals") == 1
    reigns = sql.execute(
        "SELECT generation, live_until IS NULL FROM projector.reigns ORDER BY live_from"
    )
    assert reigns.fetchall() == [(1, False), (2, False), (1, True)]
    told_late = await switching.rollback(connections, keep_seconds=60, who=WHO, number=1)
    assert told_late.record.id == 1  # and not forward again
    with pytest.raises(RebuildError, match="go back to generation 2 by now, not to 7"):
        await switching.rollback(connections, keep_seconds=60, who=WHO, number=7)
    again = await switching.rollback(connections, keep_seconds=60, who=WHO)
    assert again.record.id == 2
    told = sql.execute("SELECT kind, subject, actor FROM projector.timeline ORDER BY id").fetchall()
    assert told == [
        ("rebuild_started", "2", WHO),
        ("rebuild_promoted", "2", WHO),
        ("rebuild_rolled_back", "1", WHO),
        ("rebuild_rolled_back", "2", WHO),
    ]


async def test_a_role_that_may_not_monitor_others_waits_for_their_snapshots_all_the_same(
    connections: Connections, database_url: str, sql: psycopg.Connection, role: str
) -> None:
    """Of others' sessions it is told nothing but how old their snapshots are."""
    await beside(connections, database_url)
    sql.execute(f"CREATE ROLE {role}")
    sql.execute(f"GRANT USAGE ON SCHEMA projector TO {role}")
    sql.execute(f"GRANT SELECT ON projector.reigns, projector.generations TO {role}")

    def as_role(query: str, *about: Any) -> list[Any]:
        sql.execute(f"SET ROLE {role}")
        try:
            return sql.execute(query.encode(), *about).fetchall()
        finally:
            sql.execute("RESET ROLE")

    waits = {"id": 2}
    with snapshot_of(database_url) as old:
        sql.execute("UPDATE projector.generations SET verified_at = now() WHERE id = 2")
        await promoted(connections, 2)
        pid = old.info.backend_pid
        hidden = as_role("SELECT xact_start FROM pg_stat_activity WHERE pid = %s", [pid])
        assert hidden == [(None,)]
        assert as_role(retiring.OLD_SNAPSHOTS) == [(f"pid {pid} (user {old.info.user})",)]
        [(told,)] = as_role(switching.OLD_SNAPSHOTS, waits)
        assert told.startswith(f"pid {pid} (user ")
    assert as_role(retiring.OLD_SNAPSHOTS) == []
    assert as_role(switching.OLD_SNAPSHOTS, waits) == []
    with snapshot_of(database_url):  # one of after it is none of before
        assert as_role(retiring.OLD_SNAPSHOTS) == []


HIDDEN_ACTIVITY = """
CREATE OR REPLACE TEMPORARY VIEW pg_stat_activity AS
SELECT datname, pid, {user} AS usesysid, usename, backend_xmin,
  NULL::timestamptz AS xact_start, NULL::text AS backend_type
FROM pg_catalog.pg_stat_activity"""


async def test_who_works_for_no_user_looks_at_no_view(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    """Autovacuum holds snapshots, too, and a role that may not monitor others is not told that it is that."""
    await beside(connections, database_url)
    looks: Any = ((retiring.OLD_SNAPSHOTS, {}), (switching.OLD_SNAPSHOTS, {"id": 2}))
    found = {}
    with snapshot_of(database_url):
        sql.execute("UPDATE projector.generations SET verified_at = now() WHERE id = 2")
        await promoted(connections, 2)
        sql.execute("SET search_path = pg_temp, pg_catalog")
        for user in ("usesysid", "NULL::oid"):
            sql.execute(HIDDEN_ACTIVITY.format(user=user).encode())
            found[user] = [
                len(sql.execute(query.encode(), about).fetchall()) for query, about in looks
            ]
    assert found == {"usesysid": [1, 1], "NULL::oid": [0, 0]}


async def test_a_load_that_a_failover_took_back_is_not_called_filled(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    second = await made(connections)
    sql.execute("UPDATE projector.generations SET state = 'filling' WHERE id = 2")
    options = ConnectionOptions(url=database_url, control=second.record.control)
    async with Connections(options) as sessions, sessions.session() as session:
        with pytest.raises(NotLoaded):
            await registry.mark_following(session, 2, documents=1, request_units=1.0)
        sql.execute("UPDATE projector.generations SET state = 'aborted' WHERE id = 2")
        assert not await registry.mark_following(session, 2, documents=1, request_units=1.0)


async def test_one_that_is_behind_is_not_made_live_unless_forced(
    connections: Connections, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "CATCH_UP_SECONDS", 0.1)
    await fed(database_url, FIRST_GENERATION, at=5)
    second = await made(connections)
    with pytest.raises(SinkUnavailable, match="has not begun to read -FF"):
        await promoted(connections, 2)
    await fed(database_url, second.generation, at=4)
    with pytest.raises(SinkUnavailable, match="is at 4 in -FF, and the live one at 5"):
        await promoted(connections, 2)
    assert (await registry.records(connections))[0].state == "following"
    await promoted(connections, 2, forced=True)
    [live, _] = await registry.records(connections)
    assert (live.state, live.forced) == ("live", WHO)


async def test_the_history_is_that_of_the_live_one(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    spans = """INSERT INTO projector.history (projection, generation, began_at, known_from)
        SELECT 'carts', n, now(), now() - interval '1 hour' FROM generate_series(1, 2) AS n"""
    await beside(connections, database_url)
    sql.execute(spans)
    told, known = (
        "SELECT known_from FROM carts.history",
        "SELECT known_from FROM projector.history WHERE generation = {}",
    )
    assert one(sql, told) == one(sql, known.format(1))
    await promoted(connections, 2)
    assert one(sql, told) == one(sql, known.format(2)) != one(sql, known.format(1))


async def test_a_switch_looks_again_at_what_others_did_to_the_views(
    connections: Connections,
    database_url: str,
    sql: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    second = await beside(connections, database_url, lines=2)
    read_both = both_views.read_both

    async def housekept(*args: Connections, **others: Any) -> bool:
        done = await read_both(*args, **others)
        await both_views.read_no_longer(connections, second.generation, live=FIRST_GENERATION)
        return done

    with monkeypatch.context() as patched:
        patched.setattr(both_views, "read_both", housekept)
        with pytest.raises(SinkUnavailable, match="read something else"):
            await promoted(connections, 2)
    assert one(sql, "SELECT line_count FROM carts.cart_totals") == 1
    await promoted(connections, 2)
    assert one(sql, "SELECT line_count FROM carts.cart_totals") == 2
    for change in (
        both_views.read_both(connections, to=second.generation, former=FIRST_GENERATION, seen=[]),
        both_views.read_no_longer(connections, second.generation, live=FIRST_GENERATION),
    ):
        with pytest.raises(SinkUnavailable, match="switched by somebody else"):
            await change
    assert one(sql, "SELECT line_count FROM carts.cart_totals") == 2


def places(*told: tuple[str, str, int | None]) -> list[RangePosition]:
    return [RangePosition(low, high, True, lsn) for low, high, lsn in told]


@pytest.mark.parametrize(
    ("new", "old", "told"),
    [
        (places(("", "80", 9), ("80", "FF", 7)), places(("", "FF", 7)), ""),
        (places(("", "80", 9), ("80", "FF", 6)), places(("", "FF", 7)), "is at 6 in -FF"),
        (places(("", "FF", 9)), places(("", "80", 9), ("80", "FF", 3)), ""),
        (places(("", "FF", 8)), places(("", "80", 9), ("80", "FF", 3)), "is at 8 in -80"),
        (
            places(("", "80", 9)),
            places(("", "80", 9), ("80", "FF", 3)),
            "has not begun to read 80-FF",
        ),
        (places(("", "FF", None)), places(("", "FF", 3)), "is nowhere in -FF"),
        (places(("", "FF", 1)), places(("", "FF", None)), ""),
    ],
    ids=["split", "split_behind", "merge", "merge_behind", "gap", "nowhere", "nothing_read"],
)
def test_where_one_is_behind(new: list[RangePosition], old: list[RangePosition], told: str) -> None:
    assert why_behind(new, old).startswith(told)
    assert bool(why_behind(new, old)) == bool(told)


async def test_a_second_one_at_once_is_refused_and_one_may_follow_another(
    connections: Connections, sql: psycopg.Connection
) -> None:
    await made(connections)
    with pytest.raises(RebuildError, match="projector rebuild abort"):
        await made(connections)
    await registry.abort(connections, 2, who=WHO)
    with pytest.raises(RebuildError, match="is aborted"):
        await registry.abort(connections, 2, who=WHO)
    assert [one.left for one in await retiring.drop_ended(connections)] == [[]]
    assert one(sql, "SELECT to_regnamespace('projector_g2') IS NULL")
    third = await made(connections)
    assert third.record.id == 3
    with pytest.raises(RebuildError, match="nothing to go back to"):
        await switching.rollback(connections, keep_seconds=1, who=WHO)
    with pytest.raises(RebuildError, match="generation 1 is live"):
        await promoted(connections, 1)


async def test_what_was_discarded_stays_so_in_both(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    second = await made(connections)
    for generation in (FIRST_GENERATION, second.generation):
        async with feeding(database_url, generation) as sink:
            bad = [rejection("cart", name, 2) for name in ("bad", "worse")]
            await apply(sink, await begun(sink), page(rejections=bad), at=2)
    discard = "UPDATE {}.quarantine SET status = 'discarded' WHERE document_id = '{}'"
    open_ = "SELECT array_agg(document_id) FROM {}.quarantine WHERE status = 'open'"
    sql.execute(discard.format("projector", "bad").encode())
    await promoted(connections, 2)
    assert one(sql, open_.format("projector_g2")) == ["worse"]
    sql.execute(discard.format("projector_g2", "worse").encode())
    await switching.rollback(connections, keep_seconds=60, who=WHO)
    assert one(sql, open_.format("projector")) is None


async def test_the_first_one_is_retired_when_its_time_is_over_and_the_next_is_dropped_whole(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    """What people built on its tables stays, and is named; what the migrations made stays, empty."""
    await beside(connections, database_url)
    await promoted(connections, 2, keep_seconds=3600)
    assert await retiring.retire(connections) == []
    await switching.rollback(connections, keep_seconds=0, who=WHO)
    await switching.rollback(connections, keep_seconds=0, who=WHO)
    sql.execute("CREATE VIEW public.mine AS SELECT item FROM projector_g1.item_totals")
    sql.execute("CREATE PUBLICATION theirs FOR TABLE projector_g1.cart_totals")
    assert await retiring.retire(connections) == [1]
    with pytest.raises(RebuildError, match="nothing to go back to"):
        await switching.rollback(connections, keep_seconds=0, who=WHO)
    [dropped] = await retiring.drop_ended(connections)
    left = dropped.left
    assert any("projector_g1.cart_totals is in publication theirs" in told for told in left)
    assert any("public.mine" in told and "item_totals" in told for told in left)
    assert one(sql, "SELECT to_regclass('projector_g1.cart_items') IS NULL")
    assert one(sql, "SELECT count(*) FROM public.mine") == 1
    assert one(sql, "SELECT count(*) FROM projector.ranges") == 0
    sql.execute("DROP VIEW public.mine; DROP PUBLICATION theirs")
    assert [one.left for one in await retiring.drop_ended(connections)] == [[]]
    assert one(sql, "SELECT to_regnamespace('projector_g1') IS NULL")
    assert one(sql, "SELECT count(*) FROM carts.cart_items") == 1
    assert await retiring.drop_ended(connections) == []


async def test_only_what_this_program_understands_is_fed(
    connections: Connections, sql: psycopg.Connection
) -> None:
    """A newer program makes a generation that this one knows nothing of."""
    await made(connections)
    newer = "UPDATE projector.generations SET definition = definition || '{\"shuffled\": true}' WHERE id = "
    sql.execute(newer.encode() + b"2")
    async with connections.session() as session:
        assert [known.record.id for known in await registry.fed(session)] == [1]
    sql.execute(newer.encode() + b"1")
    with pytest.raises(SchemaMismatch, match=r"made by a newer program .*definition.shuffled"):
        await registry.records(connections)


async def test_functions_of_readers_follow_the_views(
    connections: Connections, sql: psycopg.Connection, database_url: str
) -> None:
    text = "SELECT pg_get_functiondef('carts.includes'::regproc)"
    registered = await made(connections)
    generation = registered.generation
    for each in (FIRST_GENERATION, generation):
        await fed(database_url, each, at=7)
    told = sql.execute(text).fetchone()
    assert told is not None
    assert f" {generation.control}.ranges" not in told[0]
    await promoted(connections, registered.record.id)
    told = sql.execute(text).fetchone()
    assert told is not None
    assert f" {generation.control}.ranges" in told[0]
    assert " projector.ranges" not in told[0]
