"""A host feeds every generation by itself: it is never told, it looks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from projector.core.errors import ProjectionChanged, SinkUnavailable
from projector.operations.leases import Consent
from projector.ports.generations import FillSource, GenerationState
from projector.postgres import generations as registry
from projector.postgres import retiring, switching
from projector.postgres.generations import Registered
from projector.processor.clock import SystemClock
from projector.projection.carts import CARTS
from projector.wiring import bookmarks, commands
from projector.wiring.copy import both_sides
from projector.wiring.feeders import Feeders
from tests.integration.verify.support import Pair, until

WHO = "anna@desk"
STATE = "SELECT state FROM projector.generations WHERE id = %s"


async def begin(pair: Pair, *, state: GenerationState = GenerationState.FILLING) -> int:
    async with pair.connections() as connections:
        made = await registry.create(
            connections,
            CARTS,
            who=WHO,
            why="to try",
            source=FillSource.FEED,
            processor_name="projector",
            state=state,
        )
    return made.record.id


async def promote(pair: Pair, number: int) -> None:
    async with pair.connections() as connections, asyncio.timeout(120):
        while True:
            try:
                await switching.promote(connections, number, keep_seconds=3600, who=WHO)
            except SinkUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def roll_back(pair: Pair) -> None:
    async with pair.connections() as connections, asyncio.timeout(120):
        while True:
            try:
                await switching.rollback(connections, keep_seconds=3600, who=WHO)
            except SinkUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def count(pair: Pair, schema: str) -> int:
    return int(await pair.value(f"SELECT count(*) FROM {schema}.cart_items WHERE NOT deleted"))


async def is_equal(pair: Pair, number: int) -> bool:
    async with both_sides(pair.settings, clock=SystemClock(), generation=number) as copy:
        return (await copy.verify(repair=False)).consistent


async def test_a_host_fills_follows_and_switches_by_itself(pair: Pair) -> None:
    await pair.lines(40)
    await pair.drain()
    async with pair.host():
        number = await begin(pair)
        await until(lambda: has(pair, STATE, "following", number))
        await pair.lines(10, cart="later")
        await until(lambda: has(pair, "SELECT count(*) FROM projector_g2.cart_items", 50))
        await until(lambda: has(pair, "SELECT count(*) FROM projector_g1.cart_items", 50))
        assert await is_equal(pair, 2)
        assert await pair.value("SELECT count(*) FROM carts.cart_items") == 50
        await promote(pair, 2)
        await pair.line("cart-0", "new")
        for schema in ("projector_g1", "projector_g2"):
            await until(lambda: has(pair, f"SELECT count(*) FROM {schema}.cart_items", 51))  # noqa: B023
        assert await pair.value("SELECT count(*) FROM carts.cart_items") == 51
        found = await commands.look(pair.settings, clock=SystemClock())
        assert found.silent == []
        assert {one.owner for one in found.ranges} != {None}
        held = await commands.list_leases(pair.settings, clock=SystemClock())
        assert held
        await roll_back(pair)
        await pair.line("cart-0", "newer")
        for schema in ("projector_g1", "projector_g2"):
            await until(lambda: has(pair, f"SELECT count(*) FROM {schema}.cart_items", 52))  # noqa: B023
        assert await pair.value("SELECT count(*) FROM carts.cart_items") == 52
    assert await is_equal(pair, 1)
    assert await is_equal(pair, 2)


async def has(pair: Pair, query: str, value: object, *parameters: object) -> bool:
    return bool(await pair.value(query, *parameters) == value)


async def both_hold(pair: Pair, rows: int) -> None:
    for schema in ("projector_g1", "projector_g2"):
        await until(lambda: has(pair, f"SELECT count(*) FROM {schema}.cart_items", rows))  # noqa: B023


async def test_splits_merges_a_reset_and_deleted_leases_in_the_middle(pair: Pair) -> None:
    """What happens to the container and to its leases happens to each generation for itself."""
    await pair.lines(40)
    await pair.drain()
    async with pair.host():
        number = await begin(pair)
        [first, second, *_] = [one.id for one in await pair.world.source.physical_ranges()]
        await pair.world.split(first)
        await until(lambda: has(pair, STATE, "following", number))
        await pair.lines(10, cart="later")
        await pair.world.split(second)
        pair.world.server.engine.delete_container("acme-webstore", "lease")
        await pair.lines(10, cart="latest")
        await both_hold(pair, 60)
        parts = [one.id for one in await pair.world.source.physical_ranges()]
        await pair.world.merge(parts[:2])
        await reset(pair)
        await pair.lines(5, cart="last")
        await both_hold(pair, 65)
        await promote(pair, number)
        assert await pair.value("SELECT count(*) FROM carts.cart_items") == 65
    assert await is_equal(pair, 1)
    assert await is_equal(pair, 2)


async def reset(pair: Pair, *, new_source: bool = False, new_projection: bool = False) -> None:
    consent = Consent(new_source=new_source, new_projection=new_projection)
    async with commands.prepared_reset(
        pair.settings, clock=SystemClock(), token=None, consent=consent
    ) as prepared:
        await prepared.carry_out()


async def hold(pair: Pair, rows: int) -> bool:
    """Both have so many rows, and what the container says."""
    counts = {await count(pair, schema) for schema in ("projector_g1", "projector_g2")}
    return counts == {rows} and await is_equal(pair, 1) and await is_equal(pair, 2)


async def test_another_container_and_another_filter_hold_for_one_that_is_kept_for_a_rollback(
    pair: Pair,
) -> None:
    await pair.lines(12)
    await begin(pair, state=GenerationState.FOLLOWING)
    await pair.drain()
    await promote(pair, 2)
    await pair.world.recreate()
    await pair.lines(4, cart="anew")
    await reset(pair, new_source=True)
    await pair.drain()
    assert await hold(pair, 4)
    await pair.line("anew-0", "pear", item="pear")
    pair.values["only_where"] = "item=pear"
    with pytest.raises(ProjectionChanged):
        await pair.drain()
    await reset(pair, new_projection=True)
    await pair.drain()
    assert await hold(pair, 1)
    await roll_back(pair)
    assert await pair.value("SELECT count(*) FROM carts.cart_items") == 1


async def test_a_reset_a_restore_and_a_time_are_about_the_live_one_and_the_others_stay_right(
    pair: Pair,
) -> None:
    """The other one follows: it has nothing to forget. What only a sweep finds, its gate does."""
    await pair.lines(12)
    await begin(pair, state=GenerationState.FOLLOWING)
    await pair.drain()
    replays = "SELECT count(*) FROM projector_g2.replays"
    to = await bookmarks.take_snapshot(pair.settings, "before", clock=SystemClock())
    await pair.lines(4, cart="later")
    await pair.drain()
    before = await pair.value(replays)
    for back in (to, datetime.now(UTC) - timedelta(hours=1)):
        async with bookmarks.going_back(
            pair.settings, back, clock=SystemClock(), token=None
        ) as prepared:
            await prepared.carry_out()
        await pair.drain()
        assert await hold(pair, 16)
    pair.world.server.engine.container("acme-webstore", "cart").delete("line-7", "cart-1")
    await reset(pair)
    await pair.drain()
    assert await pair.value(replays) == before
    assert (await count(pair, "projector_g1"), await count(pair, "projector_g2")) == (15, 16)
    assert not await is_equal(pair, 2)  # so it is not promoted, and a repair mends it
    await commands.verify(
        pair.settings,
        clock=SystemClock(),
        repair=True,
        on_progress=lambda progress: None,
        generation=2,
    )
    assert await hold(pair, 15)
    await promote(pair, 2)
    async with bookmarks.going_back(pair.settings, to, clock=SystemClock(), token=None) as back_to:
        assert len(await back_to.carry_out()) == 4  # what was saved of the one holds for the other
    await pair.drain()
    assert await hold(pair, 15)


async def test_a_host_of_the_version_before_feeds_the_first_one_as_long_as_it_is_fed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows of no registry: the first generation is the one that it knows."""
    fed = Feeders._fed

    async def as_before(self: Feeders) -> Sequence[Registered]:
        if self._around.settings.instance_name != "before":
            return await fed(self)
        async with self._around.target.connections.session() as session:
            one = await registry.by_id(session, 1)
        return [Registered(record=replace(one.record, state=GenerationState.LIVE))]

    monkeypatch.setattr(Feeders, "_fed", as_before)
    await pair.lines(20)
    pair.values["instance_name"] = "before"
    async with pair.host() as older:
        await until(lambda: has(pair, "SELECT count(*) FROM carts.cart_items", 20))
        pair.values["instance_name"] = "after"
        async with pair.host():
            number = await begin(pair)
            await until(lambda: has(pair, STATE, "following", number))
            await pair.lines(5, cart="later")
            await both_hold(pair, 25)
            await promote(pair, number)
        await pair.lines(5, cart="older")
        await until(lambda: has(pair, "SELECT count(*) FROM projector_g1.cart_items", 30))
        assert await pair.value("SELECT count(*) FROM carts.cart_items") == 25
        await pair.sql("UPDATE projector.generations SET fed_until = now() WHERE id = 1")
        async with pair.connections() as connections:
            assert await retiring.retire(connections) == [1]
            assert [one.left for one in await retiring.drop_ended(connections)] == [[]]
        await pair.lines(5, cart="oldest")
        await until(lambda: any("projector_g1" in str(one.failure) for one in older.reports()))
    await pair.drain()
    assert await pair.value("SELECT count(*) FROM carts.cart_items") == 35
    assert await is_equal(pair, 2)
