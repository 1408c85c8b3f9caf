"""A small shop whose every figure is known, projected by the sink's own way, and an analyst who may read it.

The ages of its lines count back from now, because the questions of analysts do.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from projector.core.states import RangeState
from projector.ports.feed import Grant, RangeReport
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.sink import PostgresSink
from projector.projection.writes import RowWrite
from tests.integration.postgres.carts import apply, begun, line, page

MINUTE, HOUR, DAY = 60, 3600, 86_400
DEFINITION = FIRST_GENERATION.definition

LINES: tuple[tuple[int, str, str, str, str, str | None, str | None], ...] = (
    # age in seconds, cart, id, item, quantity, price, currency
    (2 * HOUR, "123", "1", "Surface Pro", "2", "999", "EUR"),
    (1 * HOUR, "123", "2", "Surface Pen", "1", "99.99", "EUR"),
    (3 * DAY, "456", "3", "Surface Pen", "3", "99.99", "EUR"),
    (3 * DAY, "456", "4", "Dock", "1", "199", "USD"),
    (10 * DAY, "789", "5", "Surface Pro", "1", "1099", "EUR"),
    (40 * DAY, "321", "6", "Dock", "2", None, None),
    (5 * MINUTE, "654", "7", "Surface Pen", "1", "89.99", "EUR"),
    (5 * MINUTE, "654", "8", "Surface Pro", "1", "999", "EUR"),
    (4 * MINUTE, "654", "9", "Dock", "1", "199", "USD"),
    (2 * DAY, "987", "10", "Gift card", "1", "50", None),
    (20 * DAY, "111", "11", "Surface Pen", "-1", "99.99", "EUR"),
    (20 * DAY, "111", "12", "Keyboard", "0", "129", "EUR"),
)
EXTRA = {"1": '{"color":"black","gift":true}', "2": '{"gift":false}'}
LAG_SECONDS = 2.0


def lines(now: int) -> list[RowWrite]:
    """The lines as the change feed would bring them, the oldest first."""
    made = [
        msgspec.structs.replace(
            line(
                cart, id_, 0, item=item, quantity=quantity, price=price, currency=currency,
                extra=EXTRA.get(id_),
            ),
            ts=now - age,
        )
        for age, cart, id_, item, quantity, price, currency in sorted(LINES, reverse=True)
    ]  # fmt: skip
    return [
        msgspec.structs.replace(write, lsn=lsn, etag=f'"{lsn}"')
        for lsn, write in enumerate(made, start=1)
    ]


async def open_shop(url: str, now: int) -> None:
    """Projects the lines, and tells how far they are behind."""
    async with Connections(ConnectionOptions(url=url)) as connections:
        sink = PostgresSink(connections)
        grant = await begun(sink)
        await apply(sink, grant, page(*lines(now)), at=len(LINES))
        await tell_lag(sink, grant, LAG_SECONDS)


async def tell_lag(sink: PostgresSink, grant: Grant, seconds: float | None) -> None:
    """What the range's owner says of itself each second."""
    now = datetime.now(UTC)
    told = RangeReport(
        lease_token=grant.claim.lease_token,
        feed_range=grant.claim.feed_range,
        owner=grant.claim.owner,
        state=RangeState.READING,
        state_since=now,
        epoch=grant.epoch,
        range_id=grant.range_id,
        last_poll_at=now,
        lag_seconds=seconds,
        told_at=now,
    )
    assert await sink.report([told]) == frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenShop:
    """The shop's database, as its owner and as an analyst; `now` is what its ages count back from."""

    url: str
    analyst_url: str
    now: int


@contextmanager
def analyst(url: str) -> Iterator[str]:
    """URL of a login that was let in as the documentation says, with a schema of its own to build in."""
    name, password = f"analyst_{secrets.token_hex(4)}", secrets.token_hex(8)
    role = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            "CREATE ROLE {role} LOGIN PASSWORD {password}",
            f"GRANT {DEFINITION.reader_role} TO {{role}}",
            "CREATE SCHEMA analytics AUTHORIZATION {role}",
        ):
            text = sql.SQL(statement).format(role=role, password=sql.Literal(password))
            connection.execute(text)
        try:
            login = make_url(url).set(username=name, password=password)
            yield login.render_as_string(hide_password=False)
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))
