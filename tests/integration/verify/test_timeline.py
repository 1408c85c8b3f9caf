"""What a run, a verification and housekeeping tell the timeline."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from projector.core.errors import ProjectorError
from projector.core.names import InstanceName, LeaseToken
from projector.processor.clock import SystemClock
from projector.wiring import commands
from projector.wiring.housekeeping import Work
from projector.wiring.presence import person
from tests.integration.verify.support import Pair

TOLD = "SELECT kind, actor, detail FROM projector.timeline ORDER BY id"


async def told(pair: Pair) -> list[tuple[str, str]]:
    return [(kind, actor) for kind, actor, _ in await pair.sql(TOLD)]


async def test_a_host_tells_that_it_started_and_that_it_stopped_and_why(pair: Pair) -> None:
    await pair.lines(3)
    pair.values["instance_name"] = "web-1"
    await pair.drain()
    (_, _, began), *_, (_, _, ended) = await pair.sql(TOLD)
    assert "version" in began
    assert ended == {"documents": 3, "why": None}
    kinds = ["host_started", *(["sweep_done"] * 4), "host_stopped"]
    assert await told(pair) == [(kind, "web-1") for kind in kinds]
    pair.values["cosmos_container"] = "card"
    with pytest.raises(ProjectorError):
        await pair.drain()
    assert "card" in (await pair.sql(TOLD))[-1][2]["why"]


async def test_a_lease_that_a_person_releases_is_told_with_whose_it_was(pair: Pair) -> None:
    clock = SystemClock()
    await pair.drain()
    async with pair.copy() as copy:
        store = copy.opened.leases
        lease = await store.read(LeaseToken("2"))
        await store.replace(replace(lease, owner=InstanceName("web-1")))
    before = await told(pair)
    assert (
        sum(one.changed for one in await commands.release_leases(pair.settings, None, clock=clock))
        == 1
    )
    [entry] = (await pair.sql(TOLD))[len(before) :]
    assert entry == ("lease_released", person(), {"from": "web-1"})
    pair.values["database_url"] = "postgresql://nobody@127.0.0.1:1/none"
    assert len(await commands.release_leases(pair.settings, "2", clock=clock)) == 1


async def test_drift_is_told_when_it_is_found_and_when_it_is_mended(pair: Pair) -> None:
    await pair.lines(5)
    await pair.drain()
    await pair.verify()
    before = await told(pair)
    await pair.sql("DELETE FROM projector_g1.cart_items WHERE id = 'line-3'")
    await pair.verify()
    await pair.verify(repair=True)
    news = (await pair.sql(TOLD))[len(before) :]
    assert [kind for kind, _, _ in news] == ["drift_found", "drift_found", "drift_repaired"]
    assert {actor for _, actor, _ in news} == {person()}
    assert news[0][2]["missing"] == 1
    assert news[-1][2]["left"] == 0


async def test_a_host_whose_role_may_not_write_the_timeline_copies_all_the_same(pair: Pair) -> None:
    await pair.lines(3)
    with psycopg.connect(pair.url, autocommit=True) as admin:
        admin.execute("ALTER TABLE projector.timeline ADD CHECK (false)")
    await pair.world.write("bad", "bad", item="pear", quantity="many")
    await pair.drain()
    assert await pair.value("SELECT count(*) FROM carts.cart_items") == 3
    assert await pair.value("SELECT count(*) FROM projector.quarantine") == 1
    assert await told(pair) == []


async def test_housekeeping_forgets_what_happened_long_ago(pair: Pair) -> None:
    await pair.sql(
        "INSERT INTO projector.timeline (happened_at, kind, subject, detail, actor)"
        " SELECT now() - days * interval '1 day', 'reset', '', '{}', 'ada'"
        " FROM unnest(ARRAY[1, 89, 91]) AS days"
    )
    async with pair.copy() as copy:
        await pair.sql(
            "INSERT INTO projector.bookmarks (name, taken_at, container_rid, document)"
            " SELECT name, now() - interval '91 days', '', '{}'"
            " FROM unnest(ARRAY['before-reset-20260827T101112.131415Z', 'mine']) AS name"
        )
        purged = await Work(copy=copy, settings=pair.settings).purge()
    assert (purged["timeline"], purged["snapshots"]) == (1, 1)
