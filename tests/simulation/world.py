"""What a history plays in: container, database and its generations, as all who act in it reach them.

The database's own clock stands nearly still while virtual time passes: whatever is of a silent host there is
made old when the host dies, or stands still for long.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeAlias, cast

import psycopg
from typing_extensions import override

from cosmos_emulator import Engine
from projector.core.errors import ProjectorError, SinkUnavailable
from projector.core.names import SourceIdentity, SourceName
from projector.cosmos.lease_documents import lease_prefix
from projector.operations.generations import live_of
from projector.ports.budget import UNLIMITED, Allowance
from projector.ports.feed import Clock
from projector.ports.generations import FED, GenerationRecord
from projector.postgres import generations
from projector.postgres.connections import ConnectionOptions, Connections, Session
from projector.postgres.generation import FIRST_CONTROL
from projector.settings import Settings
from projector.wiring.opening import Account
from tests.simulation.documents import SimulatedPoints, SimulatedScanner
from tests.simulation.loop import VirtualClock, VirtualLoop
from tests.simulation.ports import (
    CART,
    DATABASE,
    Passage,
    SimulatedLeases,
    SimulatedSource,
)
from tests.simulation.shop import Shop
from tests.simulation.trade import Trade

PROCESSOR = "projector"
STRANGER = "stranger"
ACCOUNT = "simulated.documents.azure.com"
SESSIONS = 24
LOOKS = 3
IDENTITY = SourceIdentity(
    name=SourceName(account=ACCOUNT, database=DATABASE, container=CART), key_path="", projection=""
)

Begin: TypeAlias = Callable[[Passage, Callable[[], Awaitable[object]]], str]
"""Begins a job beside whatever runs; answers its name."""

_HOLDERS = """
SELECT format('%I.%I', n.nspname, c.relname), c.relname FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname LIKE 'projector%' AND c.relkind = 'r' AND c.relname IN ('range_reports', 'fill_parts')"""

_OLD = {
    "range_reports": "UPDATE {table} SET reported_at = reported_at - interval '1 hour' WHERE owner = %s",
    "fill_parts": "UPDATE {table} SET held_until = now() - interval '1 hour' WHERE owner = %s",
}


class WrongError(Exception):
    """SQL was found wrong in the middle of a history."""

    def __init__(self, phase: str, wrong: list[str]) -> None:
        super().__init__(phase, wrong)
        self.phase, self.wrong = phase, wrong


def lost() -> ProjectorError:
    """What whoever calls PostgreSQL meets when a call fails."""
    return SinkUnavailable("the simulated network lost PostgreSQL")


def prefix_of(engine: Engine, processor: str = PROCESSOR) -> str:
    """What the ids of the leases of that processor begin with."""
    return lease_prefix(
        processor_name=processor,
        endpoint_host=ACCOUNT,
        container_rid=engine.container(DATABASE, CART).rid,
    )


def processor_of(generation: int) -> str:
    """Whose leases feed that generation."""
    return PROCESSOR if generation == 1 else f"{PROCESSOR}@g{generation}"


@dataclass(slots=True, kw_only=True)
class World:
    """One world.

    Attributes:
        losses: how often something may have been taken back from readers: a database failed over, a generation
            was forced on them, the container is another one.
        planted: generations in which somebody has made a row wrong.
        held: generations that take nothing in for the moment.
        quiet: nobody writes for the moment.
        shop: who writes into the container.
        look: somebody reads all views, and raises WrongError.
        partial: generations that began at bookmarks: what lies before is not in them, unless the gate says so.
    """

    engine: Engine
    random: Random
    loop: VirtualLoop
    url: str
    trade: Trade
    losses: int = 0
    planted: set[int] = field(default_factory=set)
    partial: set[int] = field(default_factory=set)
    held: set[int] = field(default_factory=set)
    quiet: bool = False
    shop: Shop = field(init=False)
    look: Callable[[], None] = lambda: None
    _pools: dict[str, Connections] = field(default_factory=dict)

    async def pool(self, control: str = FIRST_CONTROL) -> Connections:
        """One for all: to plan the statements on each connection is what costs."""
        if control not in self._pools:
            options = ConnectionOptions(url=self.url, connections=SESSIONS, control=control)
            self._pools[control] = Connections(options)
            with self.loop.real_io():
                await self._pools[control].open()
        return self._pools[control]

    async def hang_up(self) -> None:
        """Close all connections that nobody uses, without anybody's noticing."""
        with self.loop.real_io():
            for one in self._pools.values():
                if one._pool is not None:
                    await one._pool.drain()

    async def close(self) -> None:
        """Close all of them."""
        for one in self._pools.values():
            await one.close()

    async def records(self) -> Sequence[GenerationRecord]:
        """All generations, newest first; sessions that were cut off are found out on the way."""
        pool = await self.pool()
        with self.loop.real_io():
            for _ in range(LOOKS):
                with suppress(SinkUnavailable):
                    return await generations.records(pool)
            return await generations.records(pool)

    async def fed(self) -> Sequence[GenerationRecord]:
        """Those that hosts feed."""
        return [one for one in await self.records() if one.state in FED]

    async def live(self) -> GenerationRecord:
        """The one that the views read."""
        return live_of(await self.records())

    async def some(self) -> GenerationRecord:
        """Mostly the live one; now and then another one that is fed."""
        fed = await self.fed()
        return live_of(fed) if self.random.random() < 0.7 else self.random.choice(fed)

    def account(self, passage: Passage, clock: Clock, processor: str = PROCESSOR) -> Account:
        """The account as one who acts reaches it."""
        return cast("Account", SimulatedAccount.of(self, passage, clock, processor))

    def settings(self, **values: Any) -> Settings:
        """Those of a process."""
        endpoint = f"https://{ACCOUNT}"
        return Settings(**{"cosmos_endpoint": endpoint, "database_url": self.url, **values})

    def silence(self, owner: str) -> None:
        """What that host has said and holds is old by now."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for table, kind in connection.execute(_HOLDERS).fetchall():
                connection.execute(_OLD[kind].format(table=table).encode(), [owner])


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedAccount:
    """`wiring.opening.Account` over the engine, as far as it is asked for."""

    world: World
    passage: Passage
    clock: Clock
    container_rid: str
    source: SimulatedSource
    points: SimulatedPoints
    scanner: SimulatedScanner
    leases: SimulatedLeases
    allowance: Allowance = UNLIMITED

    @classmethod
    def of(cls, world: World, passage: Passage, clock: Clock, processor: str) -> SimulatedAccount:
        """The account with the leases of that processor."""
        engine = world.engine
        return cls(
            world=world,
            passage=passage,
            clock=clock,
            container_rid=engine.container(DATABASE, CART).rid,
            source=SimulatedSource(engine, passage, world.random),
            points=SimulatedPoints(engine, passage),
            scanner=SimulatedScanner(engine, passage),
            leases=SimulatedLeases(
                engine, passage, prefix=prefix_of(engine, processor), clock=clock
            ),
        )

    @property
    def markers(self) -> SimulatedLeases:
        """They are beside the leases."""
        return self.leases

    def of_processor(self, name: str) -> SimulatedAccount:
        """The same, with the leases of that processor."""
        prefix = lease_prefix(
            processor_name=name, endpoint_host=ACCOUNT, container_rid=self.container_rid
        )
        leases = SimulatedLeases(self.world.engine, self.passage, prefix=prefix, clock=self.clock)
        return replace(self, leases=leases)


class GatedConnections(Connections):
    """Connections that all share, each session behind the passage of one who acts."""

    def __init__(self, behind: Connections, passage: Passage) -> None:
        self.behind, self._passage = behind, passage

    @override
    @asynccontextmanager
    async def session(self, *, seconds: float | None = None) -> AsyncIterator[Session]:
        async with (
            self._passage.held("session", lost),
            self.behind.session(seconds=seconds) as session,
        ):
            yield session

    @property
    @override
    def statement_seconds(self) -> float:
        return self.behind.statement_seconds


def clock_of(world: World) -> VirtualClock:
    """Time as a person's watch tells it."""
    return VirtualClock(world.loop)
