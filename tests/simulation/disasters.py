"""What befalls the container and the database as a whole: recreated, followed, failed over, lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from cosmos_emulator import Engine
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.resets import accept_new_source, request_replay
from projector.postgres.source import copied_source
from tests.simulation.database import copy_to_standby, fail_over, lose
from tests.simulation.ports import CART, DATABASE, LEASE
from tests.simulation.trade import Trade
from tests.simulation.world import World


def create_source(engine: Engine, random: Random, trade: Trade) -> None:
    """A container with another `_rid` than any before."""
    engine.create_container(
        DATABASE,
        {
            "id": CART,
            "partitionKey": {"paths": [f"/{trade.key_field}"], "kind": "Hash", "version": 2},
            "defaultTtl": -1,
        },
        partitions=random.choice([1, 2, 4]),
    )


def create_leases(engine: Engine) -> None:
    """An empty lease container."""
    engine.create_container(
        DATABASE,
        {
            "id": LEASE,
            "partitionKey": {"paths": ["/id"], "kind": "Hash", "version": 2},
            "defaultTtl": -1,
        },
        partitions=1,
    )


class Disasters:
    """Strikes one world; each strike tells what happened."""

    def __init__(self, world: World, *, step: Callable[[], None]) -> None:
        """Strike this world; `step` lets the shoppers make one change."""
        self._world = world
        self._engine, self._random, self._loop = world.engine, world.random, world.loop
        self._url, self._step = world.url, step
        self._standby = False

    async def copy_database(self) -> str:
        """A standby is at this moment, and stays there."""
        await self._copied()
        return "a standby is at this moment"

    async def fail_over(self) -> str:
        """A standby without the last commits takes over; it is as good as any backup."""
        if not self._standby:
            return "no standby"
        await self._lost(fail_over)
        return "to the standby"

    async def lose_commits(self) -> str:
        """The standby that is a moment behind takes over: what was just committed is lost."""
        await self._copied()
        for _ in range(self._random.randint(1, 4)):
            self._step()
            await asyncio.sleep(self._random.choice([0.1, 1.0, 5.0]))
        await self._lost(fail_over)
        return "the last commits are lost"

    async def lose_database(self) -> str:
        """An empty one takes its place."""
        await self._lost(lose)
        return "an empty one took its place"

    async def _copied(self) -> None:
        await self._world.hang_up()
        await self._loop.settled()
        copy_to_standby(self._url)
        self._standby = True

    async def _lost(self, way: Callable[[str], None]) -> None:
        await self._loop.settled()
        way(self._url)
        self._world.losses += 1

    async def recreate_carts(self) -> str:
        """The container is deleted; another one bears its name."""
        self._engine.delete_container(DATABASE, CART)
        create_source(self._engine, self._random, self._world.trade)
        self._world.shop.begin_anew()
        self._world.losses += 1
        return "the carts have another container"

    async def follow(self) -> str:
        """As `projector leases reset --accept-new-source`, perhaps cut short."""
        rid = self._engine.container(DATABASE, CART).rid
        control = (await self._world.live()).control
        with self._loop.real_io():
            options = ConnectionOptions(url=self._url, connections=1, control=control)
            async with Connections(options) as pool:
                async with pool.session() as session:
                    copied = await copied_source(session)
                    followed = None if copied is None else copied.rid
                if followed in {None, rid}:
                    return "nothing to follow"
                await accept_new_source(pool, rid)
                if self._random.random() < 0.7:
                    await request_replay(pool, rid)
        return f"{rid} instead of {followed}"
