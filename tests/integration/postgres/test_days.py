"""The state of each day that is over, exact however late it is taken; and carts that were left alone."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import msgspec
import pytest

from projector.ports.feed import Grant
from projector.postgres.connections import Connections
from projector.postgres.recording import Recording, RecordingOptions
from projector.postgres.sink import PostgresSink
from projector.projection.writes import RowWrite
from tests.integration.postgres.carts import apply, line, page, tombstone
from tests.integration.postgres.test_history import (
    EARLIER,
    ask,
    execute,
    grant,
    now,
    recording,
)

__all__ = ["grant", "recording"]

TOTALS = """
SELECT day, known, cart_count, line_count, total_quantity, total_amount, currency
FROM carts.daily_totals ORDER BY day"""
AMOUNTS = """
SELECT known, currency, priced_line_count, total_amount
FROM carts.daily_amounts WHERE day = %s ORDER BY currency"""
ITEMS = """
SELECT known, item, line_count, total_quantity
FROM carts.daily_item_totals WHERE day = %s ORDER BY item"""
A_DAY = timedelta(days=1)
HOUR = 3600
ABANDONED = """
SELECT cart_id, line_count, total_amount, last_item, re_engaged_count,
  round(extract(epoch FROM now() - last_touched_at) / 3600), last_re_engaged_at IS NULL
FROM carts.abandoned_carts ORDER BY cart_id"""


async def test_a_day_is_taken_late_as_it_was_and_never_changes(
    connections: Connections, sink: PostgresSink, grant: Grant, recording: Recording
) -> None:
    """Three days ago two carts, two days ago one more line in dollars, then nothing but removals."""
    first = line("a", "1", 1, price="2.50", currency="EUR")
    await apply(sink, grant, page(first, line("b", "1", 1, quantity="3", item="Pen")))
    await execute(connections, *EARLIER, by=A_DAY)
    await apply(sink, grant, page(line("a", "2", 2, quantity="2", price="1", currency="USD")))
    await execute(connections, *EARLIER, by=A_DAY)
    await apply(sink, grant, page(tombstone("a", "1", 3), tombstone("a", "2", 3)))
    await apply(sink, grant, page(tombstone("b", "1", 3)))
    await execute(connections, *EARLIER, by=A_DAY)
    days = [await today(connections) - number * A_DAY for number in (3, 2, 1)]
    assert (await recording.keep())["days"] == [str(day) for day in days]
    expected = [
        (days[0], True, 2, 2, 4, Decimal("2.5"), "EUR"),
        (days[1], True, 2, 3, 6, None, None),
        (days[2], True, 0, 0, 0, None, None),
    ]
    assert await ask(connections, TOTALS) == expected
    assert await ask(connections, AMOUNTS, days[1]) == [
        (True, "EUR", 1, Decimal("2.5")),
        (True, "USD", 1, 2),
    ]
    assert await ask(connections, ITEMS, days[1]) == [(True, "Pen", 1, 3), (True, "Surface", 2, 3)]
    assert await ask(connections, ITEMS, days[2]) == []
    await execute(connections, "DELETE FROM projector.cart_events")
    assert "days" not in await recording.keep()
    assert await ask(connections, TOTALS) == expected


async def today(connections: Connections) -> date:
    ((found,),) = await ask(connections, "SELECT now()::date")
    assert isinstance(found, date)
    return found


async def test_days_of_a_gap_are_told_as_unknown(
    connections: Connections, sink: PostgresSink, grant: Grant, recording: Recording
) -> None:
    await apply(sink, grant, page(line("a", "1", 1)))
    await Recording(connections, RecordingOptions(on=False)).configure()
    await execute(connections, *EARLIER, by=2 * A_DAY)
    await recording.configure()
    assert await recording.begin()
    await execute(connections, *EARLIER, by=A_DAY)
    assert len((await recording.keep())["days"]) == 3
    assert [(row[1], row[3]) for row in await ask(connections, TOTALS)] == [
        (False, None),
        (False, None),
        (True, 1),
    ]
    known = "SELECT known, item, line_count FROM carts.daily_item_totals ORDER BY day"
    assert await ask(connections, known) == [
        (False, None, None),
        (False, None, None),
        (True, "Surface", 1),
    ]


@pytest.mark.parametrize(
    ("zone", "hours"), [("Pacific/Kiritimati", -14), ("Pacific/Pago_Pago", 11)]
)
async def test_days_end_in_the_time_zone_that_was_chosen(
    connections: Connections, sink: PostgresSink, grant: Grant, zone: str, hours: int
) -> None:
    await execute(connections, *EARLIER, by=2 * A_DAY)
    there = Recording(connections, RecordingOptions(time_zone=zone))
    await there.configure()
    await there.keep()
    found = await ask(connections, "SELECT day, ends_at FROM carts.daily_totals ORDER BY day")
    assert len(found) == 2
    midnight = "SELECT %s::date + 1 + interval '1 hour' * %s"
    for day, ends_at in found:
        ((expected,),) = await ask(connections, midnight, day, hours)
        assert ends_at.replace(tzinfo=None) == expected


async def test_what_nobody_has_touched_for_long_is_abandoned(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    """A removal is a touch; a touch after as long a pause as makes a cart abandoned is a re-engagement."""
    at = int((await now(connections)).timestamp())

    def old(cart: str, id_: str, lsn: int, hours: int, **values: str) -> RowWrite:
        return msgspec.structs.replace(line(cart, id_, lsn, **values), ts=at - hours * HOUR)

    gone = msgspec.structs.replace(tombstone("emptied", "2", 8), ts=at - HOUR)
    await apply(
        sink,
        grant,
        page(
            old("left", "1", 1, 50, item="Pen", price="2"),
            old("left", "2", 2, 49, item="Dock", price="2"),
            old("fresh", "1", 3, 20),
            old("emptied", "1", 4, 90),
            old("emptied", "2", 5, 90),
            old("again", "1", 6, 200),
        ),
    )
    await apply(
        sink,
        grant,
        page(old("again", "1", 7, 100), gone),
    )
    assert await ask(connections, ABANDONED) == [
        ("again", 1, None, "Surface", 1, 100, False),
        ("left", 2, 4, "Dock", 0, 49, True),
    ]
    longer = Recording(connections, RecordingOptions(abandoned_after=timedelta(hours=60)))
    await longer.configure()
    assert [row[0] for row in await ask(connections, ABANDONED)] == ["again"]
