"""The whole product in one process: emulator, PostgreSQL, host, shoppers, and a screen to watch.

Everything is made anew at each start, in a folder of its own, and listens on loopback only. The
parts end in the reverse order of their start, whatever ends the demo.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from cosmos_emulator import EmulatorServer
from cosmos_emulator.container import Container
from projector.core.texts import printable
from projector.demo.screen import Screen, Snapshot
from projector.demo.shoppers import Shoppers
from projector.demo.totals import biggest_items, counts, newest_carts
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.embedded import EmbeddedPostgres
from projector.postgres.quarantine import count_open
from projector.postgres.ranges import live_ranges
from projector.settings import Settings
from projector.telemetry.logs import configure_logging
from projector.wiring.service import Service

PARTITIONS = 4
SEEDED_DEEDS = 120
SHOPPING_SECONDS = (0.1, 0.6)
LOOK_SECONDS = 0.5
SETTLE_SECONDS = 30.0
SHOWN_CARTS = 40
SHOWN_ITEMS = 10
LOG_FILE = "projector.log"
QUERY = "SELECT * FROM carts.cart_totals ORDER BY last_changed_at DESC LIMIT 5;"

Say = Callable[[str], None]
Show = Callable[[Screen], AsyncGenerator[None]]
"""Draws one frame each time it is asked for the next item; closed at the end."""


@dataclass(slots=True, kw_only=True)
class Demo:
    """Runs once; `folder` is emptied at the start.

    Args:
        folder: For the database and the log.
        say: Takes the lines that are told before and after the show.
        seconds: Stop by itself after so long a show; None: when `request_stop` is called.
    """

    folder: Path
    say: Say
    seconds: float | None = None
    screen: Screen = field(default_factory=lambda: Screen(introduction=()))
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def request_stop(self) -> None:
        """Ends the show."""
        self._stopping.set()

    async def run(self, show: Show) -> None:
        """Starts everything, shows it until stopped, ends everything.

        Args:
            show: Draws.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOG_FILE).open("w") as log:
            configure_logging(style="logfmt", level="info", stream=log)
            async with self._postgres() as database, self._emulator() as (server, carts):
                shoppers = Shoppers(chance=random.Random())  # noqa: S311 - shopping, not cryptography
                self.say(f"seeding {SEEDED_DEEDS} changes of carts")
                for _ in range(SEEDED_DEEDS):
                    self._shop(shoppers, carts)
                self.say("starting the projector")
                await self._perform(database, server, shoppers, carts, show)

    @asynccontextmanager
    async def _postgres(self) -> AsyncIterator[EmbeddedPostgres]:
        self.say("starting PostgreSQL (embedded, emptied at each start)")
        database = EmbeddedPostgres(self.folder / "postgres", announce=self.say)
        await asyncio.to_thread(database.remove)
        async with database:
            yield database

    @asynccontextmanager
    async def _emulator(self) -> AsyncIterator[tuple[EmulatorServer, Container]]:
        self.say(f"starting the Cosmos DB emulator ({PARTITIONS} physical partitions)")
        server = EmulatorServer(partitions=PARTITIONS)
        await server.start()
        try:
            server.engine.create_database("acme-webstore")
            carts = server.engine.create_container("acme-webstore", _definition("cart", "/cartId"))
            server.engine.create_container(
                "acme-webstore", _definition("lease", "/id"), partitions=1
            )
            yield server, carts
        finally:
            await server.stop()

    async def _perform(
        self,
        database: EmbeddedPostgres,
        server: EmulatorServer,
        shoppers: Shoppers,
        carts: Container,
        show: Show,
    ) -> None:
        service = Service(_settings(server, database))
        self.screen.introduction = _introduction(self.folder, server, database)
        options = ConnectionOptions(
            url=database.url, connections=2, application_name="projector demo"
        )
        async with Connections(options) as connections, asyncio.TaskGroup() as group:
            host = group.create_task(service.run(), name="demo:host")
            host.add_done_callback(lambda _: self.request_stop())
            shopping = group.create_task(self._keep_shopping(shoppers, carts), name="demo:shoppers")
            await self._show(service, connections, show)
            shopping.cancel()
            begun = bool(service.reports())  # stopped earlier, there may be no tables to look into
            in_sql = await _arrived(connections, shoppers.open_lines) if begun else None
            service.request_stop()
            tally = await host
        self.say(f"stopped: {tally}")
        if in_sql is not None:
            self.say(f"SQL held {in_sql} cart lines, the container {shoppers.open_lines}")

    async def _show(
        self,
        service: Service,
        connections: Connections,
        show: Show,
    ) -> None:
        """Looks and draws until it is time to end."""
        ends_at = math.inf
        async with aclosing(show(self.screen)) as frames:
            while not self._stopping.is_set() and time.monotonic() < ends_at:
                if service.reports():
                    self.screen.snapshot = await _look(service, connections)
                    if self.seconds is not None:  # the show begins when there is something to see
                        ends_at = min(ends_at, time.monotonic() + self.seconds)
                await anext(frames)
                await _pause(self._stopping, LOOK_SECONDS)

    async def _keep_shopping(self, shoppers: Shoppers, carts: Container) -> None:
        while True:
            self._shop(shoppers, carts)
            await asyncio.sleep(shoppers.chance.uniform(*SHOPPING_SECONDS))

    def _shop(self, shoppers: Shoppers, carts: Container) -> None:
        deed = shoppers.next_deed()
        carts.upsert(dict(deed.document))
        self.screen.deeds.append(deed.told)


async def _look(service: Service, connections: Connections) -> Snapshot:
    stored = await live_ranges(connections)
    return Snapshot(
        carts=await newest_carts(connections, limit=SHOWN_CARTS),
        items=await biggest_items(connections, limit=SHOWN_ITEMS),
        counts=await counts(connections),
        ranges=sorted(service.reports(), key=lambda report: report.feed_range.min),
        positions={
            one.lease_token: None if one.lsn is None else f"LSN {one.lsn}" for one in stored
        },
        quarantined=await count_open(connections),
    )


async def _arrived(connections: Connections, expected: int) -> int:
    """Lines in SQL, as soon as they are as many as expected, or after a while."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = int((await counts(connections))["line_count"])
        if found == expected or time.monotonic() > deadline:
            return found
        await asyncio.sleep(LOOK_SECONDS / 5)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return


def _settings(server: EmulatorServer, database: EmbeddedPostgres) -> Settings:
    return Settings.model_validate(
        {
            "cosmos_endpoint": server.endpoint,
            "cosmos_key": server.key,
            "database_url": database.url,
            "instance_name": "demo-host",
            "web_port": 0,
        }
    )


def _definition(name: str, partition_key: str) -> dict[str, Any]:
    return {
        "id": name,
        "partitionKey": {"paths": [partition_key], "kind": "Hash", "version": 2},
        "defaultTtl": -1,
    }


def _introduction(folder: Path, server: EmulatorServer, database: EmbeddedPostgres) -> list[str]:
    return [
        f"projector demo: emulator {server.endpoint}, PostgreSQL 127.0.0.1:{database.port}",
        "look into it from a second terminal, in this folder:",
        f"  PROJECTOR_DATA_DIR={folder} {_own_command()} psql",
        f"  {QUERY}",
        f"log {folder / LOG_FILE}; Ctrl-C ends everything",
    ]


def _own_command() -> str:
    """How this program is called from the folder where it was started."""
    script = Path(sys.executable).with_name("projector")
    if not script.exists():
        return f"{sys.executable} -m projector"
    here = Path.cwd()
    return str(script.relative_to(here)) if script.is_relative_to(here) else str(script)


def show_lines(out: TextIO, *, every_seconds: float = 1.0) -> Show:
    """A show for those without a terminal: the introduction, then one line a second."""

    async def show(screen: Screen) -> AsyncGenerator[None]:
        for line in screen.introduction:
            print(printable(line), file=out, flush=True)
        shown_at = time.monotonic()
        while True:
            if screen.snapshot.ranges and time.monotonic() - shown_at >= every_seconds:
                shown_at = time.monotonic()
                print(printable(screen.line()), file=out, flush=True)
            yield

    return show
