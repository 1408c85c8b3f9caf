"""One real host, the emulator and PostgreSQL in the test's own process, and trouble between them.

Everything is the real thing: SDK over HTTP, processor, sink, service. Waiting means until something is true or a deadline passes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from psycopg.rows import tuple_row
from typing_extensions import override

from cosmos_emulator import EmulatorServer
from cosmos_emulator.container import Container
from cosmos_emulator.faults import parse_fault
from projector.core.names import LeaseToken
from projector.core.states import CloseReason, RangeState
from projector.cosmos.client import ContainerPath
from projector.ports.feed import RangeReport
from projector.processor.notifications import SilentObserver
from projector.settings import Settings
from projector.wiring.service import Service
from tests.simulation.oracle import differences

T = TypeVar("T")
DATABASE = "acme-webstore"
CART = ContainerPath(database=DATABASE, container="cart")
LEASE = ContainerPath(database=DATABASE, container="lease")
PATIENCE_SECONDS = 240.0
LOOK_SECONDS = 0.02
KEYS = [f"cart-{number}" for number in range(12)]
Row = tuple[Any, ...]


async def until(read: Callable[[], T], accept: Callable[[T], object]) -> T:
    """Reads again and again until the value is accepted; fails with the last one seen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        value = read()
        if accept(value):
            return value
        assert time.monotonic() < deadline, f"never accepted; the last value was {value!r}"
        await asyncio.sleep(LOOK_SECONDS)


@dataclass(kw_only=True)
class Witness(SilentObserver):
    """Remembers what the host told its observers."""

    endings: list[CloseReason] = field(default_factory=list)

    @override
    async def released(self, token: LeaseToken, reason: CloseReason) -> None:
        self.endings.append(reason)


@dataclass(kw_only=True)
class Scene:
    """A container with documents, its copy, and one host between them."""

    server: EmulatorServer
    url: str
    sql: psycopg.Connection[Row]
    witness: Witness = field(default_factory=Witness)
    reports: Callable[[], Sequence[RangeReport]] = list
    _written: int = 0

    @property
    def carts(self) -> Container:
        """The cart container, as the service holds it."""
        return self.server.engine.container(DATABASE, "cart")

    def create_carts(self) -> None:
        """An empty cart container."""
        self.server.engine.create_container(
            DATABASE, {"id": "cart", "partitionKey": {"paths": ["/cartId"]}, "defaultTtl": -1}
        )

    def shop(self) -> None:
        """One new document in every cart: every partition has something to tell."""
        self._written += 1
        for key in KEYS:
            self.carts.upsert(
                {
                    "id": f"{self._written}/?# ",
                    "cartId": key,
                    "item": "pro",
                    "quantity": self._written,
                }
            )

    def fault(self, **fields: Any) -> None:
        """Installs a fault; see the emulator's control."""
        self.server.faults.install(parse_fault(fields))

    def heal(self) -> None:
        """Removes all faults."""
        self.server.faults.clear()

    def requests(self, operation: str) -> int:
        """How often that was asked so far."""
        return int(self.server.meter.operations().get(operation, {"requests": 0})["requests"])

    def rows(self, statement: str) -> list[Row]:
        """Answer of a SQL query."""
        return self.sql.execute(statement.encode()).fetchall()

    def wrong(self) -> list[str]:
        """How SQL differs from the container and from a recount."""
        return differences(self.carts, self.sql)

    def epochs(self) -> list[Row]:
        """Which acquisition owns each live range: the same as long as no lease was lost."""
        return self.rows(
            "SELECT min_epk, epoch FROM projector.ranges WHERE retired_at IS NULL ORDER BY 1"
        )

    def states(self) -> set[RangeState]:
        """What the ranges of the host are doing."""
        return {report.state for report in self.reports()}

    def messages(self) -> set[str]:
        """The failures that the ranges show."""
        return {one.failure.message for one in self.reports() if one.failure is not None}

    async def copied(self) -> None:
        """Waits until SQL equals the container."""
        await until(self.wrong, lambda wrong: not wrong)
        assert self.rows("SELECT * FROM projector.quarantine") == []

    async def all_in(self, *states: RangeState) -> None:
        """Waits until every range is in one of these states."""
        await until(self.states, lambda found: found and found <= set(states))


@asynccontextmanager
async def scene(server: EmulatorServer, url: str) -> AsyncIterator[Scene]:
    """The container on a running emulator, with a few documents; nobody reads it yet."""
    server.engine.create_database(DATABASE)
    with psycopg.connect(url, autocommit=True, row_factory=tuple_row) as sql:
        made = Scene(server=server, url=url, sql=sql)
        made.create_carts()
        made.shop()
        yield made


def settings_of(one: Scene, **chosen: Any) -> Settings:
    """A host in a hurry."""
    given: dict[str, Any] = {
        "cosmos_endpoint": one.server.endpoint,
        "cosmos_key": one.server.key,
        "database_url": one.url,
        "instance_name": "host",
        "web_port": 0,
        "poll_min_seconds": 0.02,
        "poll_max_seconds": 0.1,
        "lease_acquire_seconds": 0.3,
        "lease_renew_seconds": 1.0,
        "lease_expiration_seconds": 15.0,
    }
    return Settings(**(given | chosen))


@asynccontextmanager
async def serving(one: Scene, **chosen: Any) -> AsyncIterator[Service]:
    """The whole service; it stops and drains when the block ends."""
    service = Service(settings_of(one, **chosen), observer=one.witness)
    one.reports = service.reports
    async with asyncio.TaskGroup() as group:
        group.create_task(service.run(migrate=False), name="service")
        yield service
        service.request_stop()
