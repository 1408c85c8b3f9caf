"""A small shop whose every figure is known, projected by the sink's own way, and an analyst who may read it.

The ages of its lines count back from now, because the questions of analysts do.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
from msgspec.structs import replace
from psycopg import sql
from sqlalchemy.engine import make_url

from projector.core.states import RangeState
from projector.ports.feed import Grant, RangeReport
from projector.postgres import logins
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.logins import Limits, Password
from projector.postgres.recording import Recording, RecordingOptions
from projector.postgres.sink import PostgresSink
from projector.projection.writes import RowWrite
from tests.integration.postgres.carts import apply, begun, line, page, tombstone

TOOLS_PAGE = Path(__file__).parents[2] / "docs" / "howto" / "bi-tools.md"
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
LEFT: tuple[tuple[int, str, str, str, str, str | None, str | None], ...] = (
    (5 * DAY, "123", "99", "Dock", "1", "199", "USD"),  # removed a day ago
    (3 * DAY, "654", "98", "Keyboard", "1", "129", "EUR"),  # removed just now
)
"""What lay in the carts three days ago, when the history began; of line 8 there were two."""
EXTRA = {"1": '{"color":"black","gift":true}', "2": '{"gift":false}'}
LAG_SECONDS = 2.0
EARLIER = (
    "UPDATE projector.cart_events SET projected_at = projected_at - %(by)s",
    "UPDATE projector.history SET began_at = began_at - %(by)s, known_from = known_from - %(by)s",
)


def lines(now: int) -> dict[str, RowWrite]:
    """Id -> the line as the change feed would bring it."""
    return {
        id_: replace(
            line(
                cart, id_, lsn, item=item, quantity=quantity, price=price, currency=currency,
                extra=EXTRA.get(id_),
            ),
            ts=now - age,
        )
        for lsn, (age, cart, id_, item, quantity, price, currency) in enumerate(
            sorted([*LINES, *LEFT], reverse=True), start=1
        )
    }  # fmt: skip


async def open_shop(url: str, now: int) -> None:
    """Projects the lines, lets three days pass, and tells how far the rows are behind."""
    async with Connections(ConnectionOptions(url=url)) as connections:
        sink, recording = PostgresSink(connections), Recording(connections, RecordingOptions())
        grant = await begun(sink)
        first = lines(now)
        two_of_them = replace(first["8"], lsn=0, values=with_quantity(first["8"], b"2"))
        await apply(sink, grant, page(*{**first, "8": two_of_them}.values()), at=20)
        await tell_lag(sink, grant, LAG_SECONDS)
        assert await recording.begin()
        await pass_days(connections, 2)
        await apply(sink, grant, page(replace(tombstone("123", "99", 21), ts=now - DAY)), at=21)
        await pass_days(connections, 1)
        assert "days" in await recording.keep()
        await apply(sink, grant, page(replace(first["8"], lsn=22, etag='"22"')), at=22)
        await apply(sink, grant, page(replace(tombstone("654", "98", 23), ts=now)), at=23)
        await tell_lag(sink, grant, LAG_SECONDS)


def with_quantity(write: RowWrite, number: bytes) -> tuple[object, ...]:
    """The values of a line, of which there are more."""
    item, _, *others = write.values
    return item, msgspec.Raw(number), *others


async def pass_days(connections: Connections, days: int) -> None:
    """The past is made by hand: all that was written down happened that much earlier."""
    async with connections.session() as session:
        for statement in EARLIER:
            await session.execute(statement.encode(), {"by": timedelta(days=days)})


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
        caught_up_at=now,
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
    """URL of a login as `projector bi grant` makes it, let build in a schema as the page says."""
    name, password = f"analyst_{secrets.token_hex(4)}", secrets.token_hex(8)
    login = make_url(url).set(username=name, password=password)
    logins.grant(
        url,
        name,
        reader=DEFINITION.reader_role,
        schema=DEFINITION.schema,
        limits=Limits(connections=20, statement_seconds=300, idle_seconds=60),
        password=Password(text=password, replaces=False),
    )
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in may_build(name, str(login.database)):
            connection.execute(statement.encode())
        try:
            yield login.render_as_string(hide_password=False)
        finally:
            role = sql.Identifier(name)
            connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


def may_build(role: str, database: str) -> list[str]:
    """What the page tells the database's owner to type for dbt."""
    block: str
    [block] = re.findall(
        r"```sql\n(CREATE SCHEMA .*?)```", TOOLS_PAGE.read_text("utf-8"), re.DOTALL
    )
    return block.replace("dbt_carts", role).replace(" shop ", f" {database} ").strip().splitlines()
