"""Rebuilds that are cut off: a generation beside the live one, at each step of its life.

A host fills it while it feeds the live one, in a container that was split and merged since the parts were
begun; it is promoted by the command; gone back from; given up; dropped by housekeeping. Each situation is
made from the one before it. Playing one runs a host or a command that may die at a chosen point, and then
whatever a person would do who finds the database like that.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.rows import tuple_row
from sqlalchemy.engine import make_url

from cosmos_emulator import Emulator, Engine
from projector.ports.generations import FillSource
from projector.postgres import generations
from projector.postgres.connections import ConnectionOptions, Connections
from projector.projection.carts import CARTS
from tests.acceptance import hosts_prepared
from tests.acceptance.hosts_forge import Forge, Order
from tests.acceptance.hosts_prepared import (
    DATABASE,
    KILLED,
    PAST_EXPIRY_SECONDS,
    Outcome,
    changed,
    line,
    settings,
)
from tests.carts import CART_PROJECTION
from tests.fixtures.postgres import database_name, new_database
from tests.integration.verify.support import RECOUNT
from tests.simulation.oracle import differences, expected_rows

Work = Mapping[str, Any]
"""Of a process: what it is ordered to do."""

REFUSING = "ALTER TABLE projector_g2.cart_items ADD CONSTRAINT refusing CHECK (item <> 'refused')"
KILLED_FIRST = "fill | COMMIT after filling.WROTE | after"

TIME_PASSES = {
    "projector.housekeeping_runs": "UPDATE projector.housekeeping_runs SET last_success_at = NULL,"
    " last_error = NULL, held_until = NULL",
    **{
        f"{control}.range_reports": f"UPDATE {control}.range_reports SET caught_up_at = NULL,"
        " reported_at = reported_at - interval '1 hour'"
        for control in ("projector", "projector_g2")
    },
    "projector_g2.fill_parts": "UPDATE projector_g2.fill_parts SET held_until = NULL",
}
"""By table: whoever was killed is taken for dead, and what was put off is due."""

HAS_NO_END = """
EXISTS (SELECT FROM {control}.ranges r WHERE r.retired_at IS NULL AND NOT EXISTS (
  SELECT FROM {control}.range_reports p
  WHERE p.range_id = r.id AND p.epoch = r.epoch AND p.caught_up_at IS NOT NULL))"""
DONE = """
EXISTS (SELECT FROM projector.housekeeping_runs WHERE job = '{job}'
  AND (last_success_at IS NOT NULL OR last_error IS NOT NULL))"""
FOLLOWED = f"""
SELECT {DONE.format(job="history")} AND (SELECT state <> 'filling' FROM projector.generations WHERE id = 2)
  AND EXISTS (SELECT FROM projector_g2.ranges)
  AND NOT {HAS_NO_END.format(control="projector_g2")} AND NOT {HAS_NO_END.format(control="projector")}"""
DROPPED = f"""
SELECT {DONE.format(job="retire")} AND to_regnamespace('projector_g2') IS NULL
  AND NOT {HAS_NO_END.format(control="projector")}"""

HOST: Work = {"until": FOLLOWED}
JOB: Work = {}
PROMOTE: Work = {"command": ("rebuild", "promote")}
ROLL_BACK: Work = {"command": ("rebuild", "rollback")}
ABORT: Work = {"command": ("rebuild", "abort")}
START: Work = {"command": ("rebuild", "start", "--no-wait")}
HOUSEKEEPER: Work = {"until": DROPPED}

READ = {
    **hosts_prepared.READ,
    "generations": "SELECT id, state, source, documents, forced FROM projector.generations",
    "reigns": "SELECT generation, live_until IS NULL FROM projector.reigns ORDER BY live_from",
    "told": "SELECT kind, subject FROM projector.timeline WHERE kind LIKE 'rebuild%'",
}
READ_SECOND = {
    "second: rows": "SELECT cart_id, id, item, quantity, unit_price, currency, etag, extra"
    " FROM projector_g2.cart_items WHERE NOT deleted",
    "second: cart_totals": "SELECT * FROM projector_g2.cart_totals WHERE line_count <> 0",
    "second: item_totals": "SELECT * FROM projector_g2.item_totals WHERE line_count <> 0",
    "second: quarantine": "SELECT partition_key, document_id, reason, status, sqlstate, raw"
    " FROM projector_g2.quarantine WHERE status <> 'closed'",
    "second: ranges": "SELECT lease_token, min_epk, max_epk, placed, quarantined"
    " FROM projector_g2.ranges WHERE retired_at IS NULL",
    "second: parts": "SELECT lease_token, phase, documents FROM projector_g2.fill_parts",
    "second: replays": "SELECT phase FROM projector_g2.replays",
}
DRIFT = 3
ATTEMPTS = 3
EXPIRES_BY_ITSELF = "projector.doctor"
ROWS = """
SELECT cart_id, id, item, quantity, unit_price, currency, ts FROM projector_g2.cart_items
WHERE NOT deleted"""


def again(state: str | None, *, killed: bool) -> Sequence[Work]:
    """A host does all of it, whatever the state."""
    return [HOST] if killed else []


def promoted(state: str | None, *, killed: bool) -> Sequence[Work]:
    """Whoever finds it not promoted promotes it; hosts bring what the former one lacked into its history."""
    return [PROMOTE, HOST] if killed and state == "following" else [HOST]


def rolled_back(state: str | None, *, killed: bool) -> Sequence[Work]:
    """Whoever finds it live still goes back."""
    return [ROLL_BACK] if killed and state == "live" else []


def given_up(state: str | None, *, killed: bool) -> Sequence[Work]:
    """Whoever finds it being made still gives it up; housekeeping does the rest."""
    return [ABORT, HOUSEKEEPER] if killed and state == "following" else [HOUSEKEEPER]


def started(state: str | None, *, killed: bool) -> Sequence[Work]:
    """Whoever finds none begins one."""
    return [START] if killed and state is None else []


class Then(Protocol):
    """What a person does next."""

    def __call__(self, state: str | None, *, killed: bool) -> Sequence[Work]:
        """By the state of the second generation that he finds, None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilding:
    """An account in memory and a database, to be copied for each play.

    Attributes:
        first: the process that may be killed.
        then: what comes after it.
    """

    engine: Engine
    template: str
    server_url: str
    forge: Forge
    folder: Path
    first: Work
    then: Then

    def play(
        self, *, point: str | None = None, occurrence: int = 1, record: Path | None = None
    ) -> Outcome:
        """Runs the process, killed at the point if there is one, and what comes after it."""
        with ExitStack() as stack:
            engine = copy.deepcopy(self.engine)
            server = stack.enter_context(Emulator(engine=engine))
            url = stack.enter_context(new_database(self.server_url, template=self.template))
            code = self.work(
                server,
                url,
                self.first,
                point=point,
                occurrence=occurrence,
                record=record and str(record),
            )
            for work in self.then(state_of(url), killed=point is not None):
                time_passes(engine, url)
                assert self.work(server, url, work, instance="next") == 0, self.log_tail()
            return _outcome(code, engine, url)

    def work(self, server: Emulator, url: str, work: Work, **order: Any) -> int:
        """One process; its exit code. A promotion that waits for others in vain is tried again."""
        code = DRIFT
        attempts = ATTEMPTS
        while code == DRIFT and attempts:
            code, attempts = self._work(server, url, work, **order), attempts - 1
        return code

    def _work(
        self, server: Emulator, url: str, work: Work, *, instance: str = "first", **order: Any
    ) -> int:
        given = settings(server.endpoint, server.key, url, instance=instance) | {
            "rebuild_page_size": 2,
            "housekeeping_purge_hours": 0,
            "housekeeping_retry_hours": 0,
            "housekeeping_verify_hours": 0,
        }
        return self.forge.run(
            Order(settings=given, log=str(self.folder / "hosts.log"), **work, **order)
        )

    def log_tail(self) -> str:
        """The last lines that a process said."""
        return "\n".join((self.folder / "hosts.log").read_text().splitlines()[-40:])

    def after(
        self,
        stack: ExitStack,
        *works: Work,
        change: Callable[[Engine], None] | None = None,
        **killed: str,
    ) -> Rebuilding:
        """Another one, in which this was done, the last of it perhaps killed at a `point`."""
        engine = copy.deepcopy(self.engine)
        url = stack.enter_context(new_database(self.server_url, template=self.template))
        with Emulator(engine=engine) as server:
            for work in works:
                code = self.work(server, url, work, **(killed if work is works[-1] else {}))
                assert code == (KILLED if killed and work is works[-1] else 0), self.log_tail()
        if change is not None:
            change(engine)
        time_passes(engine, url)
        return replace(self, engine=engine, template=database_name(url))


def time_passes(engine: Engine, url: str) -> None:
    """Whoever died is taken for dead: by the service's clock, and by what is told in the database."""
    engine.offset_seconds += PAST_EXPIRY_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        for table, statement in TIME_PASSES.items():
            if _is(connection, table):
                connection.execute(statement.encode())


def state_of(url: str) -> str | None:
    """Of the second generation; None when there is none."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT state FROM projector.generations WHERE id = 2").fetchone()
    return None if row is None else str(row[0])


def changed_again(engine: Engine) -> None:
    """What is there when a generation follows: more changes, one more split."""
    carts = engine.container(DATABASE, "cart")
    for cart in range(hosts_prepared.CARTS):
        carts.upsert({**line(cart, 0), "quantity": 70 + cart})
        carts.upsert(
            {"id": f"newer-{cart}", "cartId": f"cart-{cart}", "item": "pen", "quantity": 1}
        )
        carts.upsert({"id": f"new-{cart}", "cartId": f"cart-{cart}", "item": "x", "ttl": 3600})
    carts.split(carts.partitions()[1].range_id)


class Stages:
    """The life of a rebuild; each stage is made when it is first asked for, from the one before it."""

    def __init__(
        self, stack: ExitStack, *, forge: Forge, folder: Path, server_url: str, migrated: str
    ) -> None:
        """Makes nothing yet; all of it lives as long as the stack."""
        self._stack = stack
        self._forge = forge
        self._folder = folder
        self._server_url = server_url
        self._migrated = migrated

    @cached_property
    def started(self) -> Rebuilding:
        """A copy without a rebuild; one is begun."""
        made = hosts_prepared.prepared(
            self._stack,
            forge=self._forge,
            folder=self._folder,
            server_url=self._server_url,
            migrated=self._migrated,
            change=lambda engine, url: None,
        )
        return Rebuilding(
            engine=made.engine,
            template=made.template,
            server_url=self._server_url,
            forge=self._forge,
            folder=self._folder,
            first=START,
            then=started,
        )

    @cached_property
    def filled_from_feed(self) -> Rebuilding:
        """A generation that is filled in part; then the container was changed, split and merged."""
        return self._filled(FillSource.FEED)

    @cached_property
    def filled_from_scan(self) -> Rebuilding:
        """The same from the other source."""
        return self._filled(FillSource.SCAN)

    @cached_property
    def given_up(self) -> Rebuilding:
        """It follows, and is given up."""
        made = self.filled_from_feed.after(self._stack, HOST)
        return replace(made, first=ABORT, then=given_up)

    @cached_property
    def promoted(self) -> Rebuilding:
        """It follows, and has something to catch up with; it is compared and made live."""
        made = self.given_up.after(self._stack, change=changed_again)
        return replace(made, first=PROMOTE, then=promoted)

    @cached_property
    def rolled_back(self) -> Rebuilding:
        """It is live; the former one becomes so again."""
        made = self.promoted.after(self._stack, PROMOTE)
        return replace(made, first=ROLL_BACK, then=rolled_back)

    @cached_property
    def dropped(self) -> Rebuilding:
        """It was given up; nothing is dropped yet."""
        made = self.given_up.after(self._stack)
        asyncio.run(_abort(self._url_of(made)))
        return replace(made, first=HOUSEKEEPER, then=given_up)

    def _filled(self, source: FillSource) -> Rebuilding:
        begun = self.started.after(self._stack)
        url = self._url_of(begun)
        asyncio.run(_create(url, source))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(REFUSING)
        made = begun.after(
            self._stack, HOST, point=KILLED_FIRST, change=lambda engine: changed(engine, url)
        )
        return replace(made, first=HOST, then=again)

    def _url_of(self, made: Rebuilding) -> str:
        return (
            make_url(self._server_url)
            .set(database=made.template)
            .render_as_string(hide_password=False)
        )


async def _create(url: str, source: FillSource) -> None:
    async with Connections(ConnectionOptions(url=url)) as connections:
        await generations.create(
            connections, CARTS, who="me", why=None, source=source, processor_name="projector"
        )


async def _abort(url: str) -> None:
    async with Connections(ConnectionOptions(url=url)) as connections:
        await generations.abort(connections, 2, who="me")


def rebuilding(stack: ExitStack, *, stage: str, **where: Any) -> Rebuilding:
    """One stage of the life of a rebuild."""
    made: Rebuilding = getattr(Stages(stack, **where), stage)
    return made


def _outcome(code: int, engine: Engine, url: str) -> Outcome:
    container = engine.container(DATABASE, "cart")
    ids = (
        str(json.loads(one.body)["id"]) for one in engine.container(DATABASE, "lease").documents()
    )
    leases = sorted(one for one in ids if not one.startswith(EXPIRES_BY_ITSELF))
    with psycopg.connect(url, autocommit=True, row_factory=tuple_row) as connection:
        wrong = differences(container, connection)
        second = _is(connection, "projector_g2.cart_items")
        tables = {
            name: sorted(map(repr, connection.execute(statement.encode()).fetchall()))
            for name, statement in {**READ, **(READ_SECOND if second else {})}.items()
        }
        if second:
            wrong += _wrong_in_second(connection, container)
    return Outcome(code=code, tables=tables | {"leases": leases}, wrong=tuple(sorted(wrong)))


def _wrong_in_second(connection: psycopg.Connection[Any], container: Any) -> list[str]:
    rows = {(row[0], row[1]): tuple(row) for row in connection.execute(ROWS.encode())}
    expected = expected_rows(container, CART_PROJECTION)
    wrong = [
        f"second: {key}" for key in rows.keys() | expected if rows.get(key) != expected.get(key)
    ]
    if not _is(connection, "projector_g2.cart_items_pkey"):
        return wrong  # its totals are not counted yet
    recount = RECOUNT.replace("projector_g1", "projector_g2").encode()
    return wrong + [f"second: totals {row[0]}" for row in connection.execute(recount) if row[0]]


def _is(connection: psycopg.Connection[Any], name: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
    return row is not None and bool(row[0])
