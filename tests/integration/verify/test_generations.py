"""A host feeds every generation by itself: it is never told, it looks."""

from __future__ import annotations

import asyncio

from projector.core.errors import SinkUnavailable
from projector.ports.generations import FillSource, GenerationState
from projector.postgres import generations as registry
from projector.postgres import switching
from projector.processor.clock import SystemClock
from projector.projection.carts import CARTS
from projector.wiring import commands
from projector.wiring.copy import both_sides
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
    async with pair.connections() as connections, asyncio.timeout(30):
        while True:
            try:
                await switching.promote(connections, number, keep_seconds=3600, who=WHO)
            except SinkUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def roll_back(pair: Pair) -> None:
    async with pair.connections() as connections, asyncio.timeout(30):
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
