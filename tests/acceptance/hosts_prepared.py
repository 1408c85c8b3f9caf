"""Three situations in which a host has everything to do, each ready to be played many times.

A situation is an account in memory and a database to clone; playing it runs a host that may die
at a chosen point and then a fresh host that must finish, and tells what SQL says at the end.
"""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from cosmos_emulator import Emulator, Engine
from projector.core.bookmarks import SavedPosition
from projector.core.names import Continuation
from projector.core.ranges import FULL_RANGE
from projector.ports.copy import TargetIdentity
from projector.ports.timeline import Kind
from projector.postgres import bookmarks
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.resets import request_replay
from tests.acceptance.hosts_forge import Forge, Order
from tests.fixtures.postgres import database_name, new_database
from tests.simulation.oracle import differences

DATABASE = "acme-webstore"
PARTITIONS = 4
CARTS = 7
LINES = 3
PAST_EXPIRY_SECONDS = 120.0
"""Twice as long as a lease lives here, and no time in which a document expires."""

KILLED = -9
MAKINGS = 3

# What the projection takes and this database does not: the batch has to be halved around it.
REFUSING = "ALTER TABLE projector_g1.cart_items ADD CONSTRAINT refusing CHECK (item <> 'refused')"

READ = {
    "cart_items": "SELECT * FROM carts.cart_items",
    "cart_totals": "SELECT * FROM carts.cart_totals",
    "cart_amounts": "SELECT * FROM carts.cart_amounts",
    "item_totals": "SELECT * FROM carts.item_totals",
    "events": "SELECT cart_id, id, kind, old_quantity, new_quantity, source_time FROM carts.cart_events",
    "history": "SELECT count(*) FROM carts.history",
    "as it was": "SELECT i.* FROM carts.history, LATERAL carts.cart_items_as_of(known_from) AS i",
    # Without the lineage: it only has to grow, and a merge noticed twice raises it twice.
    "quarantine": "SELECT partition_key, document_id, reason, status, sqlstate, lsn, raw"
    " FROM projector.quarantine WHERE status <> 'closed'",
    "open replays": "SELECT count(*) FROM projector.replays WHERE phase IN ('requested', 'running')",
    "left of sweeps": "SELECT count(*) FROM projector.replay_seen",
    "ranges": "SELECT min_epk, max_epk, lsn FROM projector.ranges WHERE retired_at IS NULL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a play ended.

    Attributes:
        code: of the first host; KILLED when it died where it should.
        tables: what SQL says in the end, each table sorted.
        wrong: how that differs from the container and from a recount.
    """

    code: int
    tables: Mapping[str, Any]
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """An account in memory and a database, to be copied for each play."""

    engine: Engine
    template: str
    server_url: str
    forge: Forge
    folder: Path

    def play(
        self, *, point: str | None = None, occurrence: int = 1, record: Path | None = None
    ) -> Outcome:
        """Runs a host that dies at the point, then a fresh one; without a point just one."""
        with ExitStack() as stack:
            engine = copy.deepcopy(self.engine)
            server = stack.enter_context(Emulator(engine=engine))
            url = stack.enter_context(new_database(self.server_url, template=self.template))
            code = self.forge.run(
                Order(
                    settings=settings(server.endpoint, server.key, url, instance="first"),
                    log=str(self.folder / "hosts.log"),
                    point=point,
                    occurrence=occurrence,
                    record=None if record is None else str(record),
                )
            )
            if point is not None:
                # Whether a lease has expired is told by the service's clock alone.
                engine.offset_seconds += PAST_EXPIRY_SECONDS
                next_owner = Order(
                    settings=settings(server.endpoint, server.key, url, instance="next"),
                    log=str(self.folder / "hosts.log"),
                )
                assert self.forge.run(next_owner) == 0, self.log_tail()
            return _outcome(code, engine, url)

    def log_tail(self) -> str:
        """The last lines that a host said."""
        return "\n".join((self.folder / "hosts.log").read_text().splitlines()[-40:])


def settings(endpoint: str, key: str, url: str, *, instance: str) -> dict[str, Any]:
    """A host that hurries."""
    return {
        "cosmos_endpoint": endpoint,
        "cosmos_key": key,
        "database_url": url,
        "instance_name": instance,
        "web_port": 0,
        "page_size": 4,
        "poll_min_seconds": 0.5,
        "poll_max_seconds": 1.0,
        "lease_acquire_seconds": 2.0,
    }


def first_start(engine: Engine, _url: str) -> None:
    """Nothing but documents: the leases are still to be made."""
    engine.create_database(DATABASE)
    engine.create_container(
        DATABASE,
        {"id": "cart", "partitionKey": {"paths": ["/cartId"], "kind": "Hash"}, "defaultTtl": -1},
    )
    engine.load(
        engine.container(DATABASE, "cart"),
        [line(cart, number) for cart in range(CARTS) for number in range(LINES)],
    )
    _raw(engine, {"id": "bad", "cartId": "cart-0", "item": "x", "quantity": "two"})
    _raw(engine, {"id": "healed", "cartId": "cart-1", "item": "x", "quantity": "two"})


def changed(engine: Engine, _url: str) -> None:
    """A projected container that has changed: documents, one split, one merge."""
    carts = engine.container(DATABASE, "cart")
    for cart in range(CARTS):
        name = f"cart-{cart}"
        carts.upsert({**line(cart, 0), "quantity": 50 + cart})
        carts.upsert({**line(cart, 1), "ttl": 3600})
        carts.delete(line(cart, 2)["id"], name)
        carts.upsert({"id": f"new-{cart}", "cartId": name, "item": "mouse", "quantity": cart})
    carts.upsert({"id": "healed", "cartId": "cart-1", "item": "x", "quantity": 2})
    carts.upsert({"id": "refused", "cartId": "cart-3", "item": "refused", "quantity": 1})
    _raw(engine, {**line(4, 1), "quantity": None})
    first, *_, last_but_one, last = (partition.range_id for partition in carts.partitions())
    carts.split(first)
    carts.merge([last_but_one, last])


def changed_and_reset(engine: Engine, url: str) -> None:
    """The same with a replay asked for: what was deleted outright has to be swept."""
    changed(engine, url)
    asyncio.run(_request_replay(url, engine.container(DATABASE, "cart").rid))


async def _request_replay(url: str, rid: str) -> None:
    async with Connections(ConnectionOptions(url=url)) as connections:
        await request_replay(connections, rid)


def changed_and_put_back(engine: Engine, url: str) -> None:
    """The same set back to a position before most of what was projected: by keys that were not split then."""
    changed(engine, url)
    position = SavedPosition(feed_range=FULL_RANGE, continuation=Continuation('"1"'), lsn=1)
    rid = engine.container(DATABASE, "cart").rid
    asyncio.run(_put_back(url, rid, position))


async def _put_back(url: str, rid: str, position: SavedPosition) -> None:
    target = TargetIdentity(id="here", name="here")
    async with Connections(ConnectionOptions(url=url)) as connections:
        taken = await bookmarks.take(connections, target, name="early", now=datetime.now(UTC))
        early = replace(taken, positions=(position,))
        told = Kind.SNAPSHOT_RESTORED, early.name
        await bookmarks.go_back(connections, rid, early, told=told, actor="somebody")


def line(cart: int, number: int) -> dict[str, Any]:
    """A line of a cart, some with a price; nobody can ask for it by its id."""
    priced = {"price": f"{number}.50", "currency": "EUR"} if cart % 2 else {}
    return {
        "id": f"line-{cart}/{number}?# ",
        "cartId": f"cart-{cart}",
        "item": f"item-{number}",
        "quantity": number + 1,
        **priced,
    }


def prepared(
    stack: ExitStack,
    *,
    forge: Forge,
    folder: Path,
    server_url: str,
    migrated: str,
    change: Callable[[Engine, str], None],
) -> Situation:
    """Builds a situation: a first start, projected unless that is the situation, then the change."""
    engine = Engine(now=time.time, partitions=PARTITIONS)
    url = stack.enter_context(new_database(server_url, template=migrated))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(REFUSING)
    if change is not first_start:
        first_start(engine, url)
        with Emulator(engine=engine) as server:
            made = settings(server.endpoint, server.key, url, instance="maker")
            _project(forge, Order(settings=made, log=str(folder / "hosts.log")), url)
    change(engine, url)
    return Situation(
        engine=engine,
        template=database_name(url),
        server_url=server_url,
        forge=forge,
        folder=folder,
    )


def _project(forge: Forge, order: Order, url: str) -> None:
    """Until the history has begun, which a lock may put off to the next run."""
    for _ in range(MAKINGS):
        assert forge.run(order) == 0
        with psycopg.connect(url) as connection:
            if connection.execute("SELECT FROM carts.history").fetchone() is not None:
                return
    raise AssertionError("no run has begun the history")


def _raw(engine: Engine, document: Mapping[str, Any]) -> None:
    engine.container(DATABASE, "cart").upsert_raw(
        json.dumps(document).encode(), item_id=document["id"], partition_key=document["cartId"]
    )


def _outcome(code: int, engine: Engine, url: str) -> Outcome:
    with psycopg.connect(url, autocommit=True, row_factory=tuple_row) as connection:
        tables = {
            name: sorted(map(repr, connection.execute(statement.encode()).fetchall()))
            for name, statement in READ.items()
        }
        wrong = differences(engine.container(DATABASE, "cart"), connection)
    return Outcome(code=code, tables=tables, wrong=tuple(wrong))
