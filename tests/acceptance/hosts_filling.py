"""A generation that is filled by processes which die, in a container that is split and merged meanwhile.

The situation: a first process was killed when it had begun with every part; then one partition was split and
two were merged. Playing it goes on with a process that may die at a chosen point, then with a fresh one.
"""

from __future__ import annotations

import copy
import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from cosmos_emulator import Emulator, Engine
from projector.postgres.tables import plain_statements
from tests.acceptance.hosts_forge import SECOND, Forge, Order
from tests.acceptance.hosts_prepared import (
    DATABASE,
    KILLED,
    PARTITIONS,
    Outcome,
    first_start,
    settings,
)
from tests.carts import CART_PROJECTION
from tests.fixtures.postgres import database_name, new_database
from tests.integration.verify.support import RECOUNT
from tests.simulation.oracle import expected_rows

REFUSING = "ALTER TABLE projector_g2.cart_items ADD CONSTRAINT refusing CHECK (item <> 'refused')"
TIME_PASSES = "UPDATE projector_g2.fill_parts SET held_until = NULL"
KILLED_FIRST = "fill | COMMIT after filling.WROTE | after"
READ = {
    "cart_items": "SELECT cart_id, id, item, quantity, unit_price, currency, deleted, etag, extra"
    " FROM projector_g2.cart_items",
    "cart_totals": "SELECT * FROM projector_g2.cart_totals",
    "item_totals": "SELECT * FROM projector_g2.item_totals",
    "quarantine": "SELECT partition_key, document_id, reason, status, sqlstate, raw"
    " FROM projector_g2.quarantine",
    "ranges": "SELECT lease_token, min_epk, max_epk, placed, continuation, quarantined"
    " FROM projector_g2.ranges",
    "parts": "SELECT lease_token, phase, documents FROM projector_g2.fill_parts",
}
ROWS = """
SELECT cart_id, id, item, quantity, unit_price, currency, ts FROM projector_g2.cart_items"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """An account in memory and a database with a generation that is filled in part."""

    engine: Engine
    template: str
    server_url: str
    forge: Forge
    folder: Path
    source: str

    def play(
        self, *, point: str | None = None, occurrence: int = 1, record: Path | None = None
    ) -> Outcome:
        """Runs a process that dies at the point, then a fresh one; without a point just one."""
        with ExitStack() as stack:
            engine = copy.deepcopy(self.engine)
            server = stack.enter_context(Emulator(engine=engine))
            url = stack.enter_context(new_database(self.server_url, template=self.template))
            code = self._run(
                server, url, point=point, occurrence=occurrence, record=record and str(record)
            )
            if point is not None:
                assert self._run(server, url) == 0, self.log_tail()
            return _outcome(code, engine, url)

    def _run(self, server: Emulator, url: str, **order: Any) -> int:
        return run_share(self.forge, self.folder, server, url, self.source, **order)

    def log_tail(self) -> str:
        """The last lines that a process said."""
        return "\n".join((self.folder / "hosts.log").read_text().splitlines()[-40:])


def run_share(
    forge: Forge, folder: Path, server: Emulator, url: str, source: str, **order: Any
) -> int:
    """One process that fills until it dies or all is filled; its exit code."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TIME_PASSES)
    given = settings(server.endpoint, server.key, url, instance="share") | {"rebuild_page_size": 2}
    return forge.run(Order(settings=given, log=str(folder / "hosts.log"), fill=source, **order))


def half_filled(
    stack: ExitStack, *, forge: Forge, folder: Path, server_url: str, migrated: str, source: str
) -> Filling:
    """Builds the situation."""
    engine = Engine(now=time.time, partitions=PARTITIONS)
    url = stack.enter_context(new_database(server_url, template=migrated))
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (*plain_statements(SECOND), REFUSING):
            connection.execute(statement.encode())
    first_start(engine, url)
    carts = engine.container(DATABASE, "cart")
    carts.upsert({"id": "refused", "cartId": "cart-3", "item": "refused", "quantity": 1})
    carts.upsert({"id": "gone", "cartId": "cart-2", "item": "Mug", "quantity": 1, "ttl": 3600})
    with Emulator(engine=engine) as server:
        killed = run_share(forge, folder, server, url, source, point=KILLED_FIRST)
        assert killed == KILLED
    first, *_, last_but_one, last = (partition.range_id for partition in carts.partitions())
    carts.split(first)
    carts.merge([last_but_one, last])
    return Filling(
        engine=engine,
        template=database_name(url),
        server_url=server_url,
        forge=forge,
        folder=folder,
        source=source,
    )


def _outcome(code: int, engine: Engine, url: str) -> Outcome:
    container = engine.container(DATABASE, "cart")
    leases = sorted(
        f"{found.get('LeaseToken')} {found.get('ContinuationToken')}"
        for one in engine.container(DATABASE, "lease").documents()
        for found in [json.loads(one.body)]
    )
    with psycopg.connect(url, autocommit=True, row_factory=tuple_row) as connection:
        tables = {
            name: sorted(map(repr, connection.execute(statement.encode()).fetchall()))
            for name, statement in READ.items()
        }
        rows = {(row[0], row[1]): tuple(row) for row in connection.execute(ROWS.encode())}
        recount = RECOUNT.replace("projector_g1", "projector_g2").encode()
        wrong = [f"totals {row[0]}" for row in connection.execute(recount) if row[0]]
    expected = expected_rows(container, CART_PROJECTION)
    wrong += [f"row {key}" for key in rows.keys() | expected if rows.get(key) != expected.get(key)]
    return Outcome(code=code, tables=tables | {"leases": leases}, wrong=tuple(sorted(wrong)))
