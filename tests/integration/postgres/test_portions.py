"""A batch that the server cannot do at once is done in portions, with the same rows and totals."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from projector.core.errors import FencedOut, SinkTooSlow, SinkUnavailable
from projector.core.ranges import FULL_RANGE
from projector.ports.feed import Beginning, Grant
from projector.postgres.connections import Connections
from projector.postgres.portions import ATTEMPTS_ALONE
from projector.postgres.sink import PostgresSink
from projector.projection.writes import ProjectedPage
from tests.integration.postgres.carts import (
    NOWHERE,
    Model,
    Shop,
    apply,
    begun,
    claim,
    line,
    page,
    position,
    rejection,
    rows,
    tombstone,
    views,
)

# A server that manages a certain number of rows in the time that it has, whatever time that is.
SLOW = """
CREATE FUNCTION public.too_many() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT count(*) FROM written) > {limit} THEN
    RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '{sqlstate}';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER slow AFTER INSERT ON projector_g1.cart_items REFERENCING NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION public.too_many()"""
POSITION = "SELECT continuation FROM projector.ranges WHERE retired_at IS NULL"
OPEN = "SELECT count(*) FROM projector.quarantine WHERE status = 'open'"
REJECTED = "SELECT count(*) FROM projector_g1.cart_items WHERE rejected AND deleted"


async def slow_down(connections: Connections, limit: int, *, sqlstate: str = "57014") -> None:
    async with connections.session() as session:
        await session.execute(SLOW.format(limit=limit, sqlstate=sqlstate).encode())


async def speed_up(connections: Connections) -> None:
    async with connections.session() as session:
        await session.execute("DROP FUNCTION public.too_many CASCADE")


async def found(connections: Connections, query: str) -> list[tuple[object, ...]]:
    async with connections.session() as session:
        return await rows(session, query)


def lines(count: int, lsn: int = 1) -> ProjectedPage:
    return page(*(line(f"cart {n % 9}", f"doc {n:03}", lsn) for n in range(count)))


@pytest.mark.parametrize("sqlstate", ["57014", "53200"], ids=["time", "memory"])
async def test_a_batch_beyond_the_servers_time_is_halved_until_it_fits(
    connections: Connections, sink: PostgresSink, sqlstate: str
) -> None:
    await slow_down(connections, 30, sqlstate=sqlstate)
    grant = await begun(sink)
    done = await apply(sink, grant, lines(200), at=7)
    assert (done.upserted, done.delivered) == (200, 200)
    assert await found(connections, POSITION) == [('"7"',)]
    assert (await apply(sink, grant, lines(200), at=7)).upserted == 0


@pytest.mark.parametrize("replaying", [False, True], ids=["live", "replaying"])
async def test_any_history_in_portions_equals_a_recount(
    connections: Connections, sink: PostgresSink, *, replaying: bool
) -> None:
    await slow_down(connections, 3)
    shop, model = Shop(11, carts=9, documents=9), Model()
    grant = await begun(sink, mark=1000 if replaying else None)
    for _ in range(25):
        one = page(*(shop.write(40) for _ in range(shop.draw.choice([1, 2, 12, 30]))))
        await apply(sink, grant, one)
        model.apply(one.writes)
    assert await views(connections) == model.views()


async def test_a_rejection_stays_with_its_tombstone(
    connections: Connections, sink: PostgresSink
) -> None:
    await slow_down(connections, 2)
    grant = await begun(sink)
    await apply(sink, grant, lines(20))
    bad = [(f"cart {n % 9}", f"doc {n:03}", 2) for n in range(20)]
    await apply(
        sink,
        grant,
        page(
            *(tombstone(*one) for one in bad),
            rejections=[
                *(rejection(*one) for one in bad),
                *(replace(rejection("?", f"bad {n}", 2), key=None) for n in range(9)),
            ],
        ),
    )
    assert await found(connections, OPEN) == [(29,)]
    assert await found(connections, REJECTED) == [(20,)]
    assert await found(connections, "SELECT count(*) FROM carts.cart_items") == [(0,)]


async def test_what_was_written_before_an_outage_is_not_sent_again(
    connections: Connections, sink: PostgresSink
) -> None:
    """And the position does not move before the last portion."""
    await slow_down(connections, 2)
    grant = await begun(sink)
    await apply(sink, grant, lines(4), at=1)
    await speed_up(connections)
    # From the fifth new document on the server is out of reach.
    async with connections.session() as session:
        await session.execute("""
            CREATE FUNCTION public.too_many() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF NEW.id > 'doc 104' THEN RAISE EXCEPTION 'down' USING ERRCODE = '57P01'; END IF;
              RETURN NULL;
            END $$;
            CREATE TRIGGER slow AFTER INSERT ON projector_g1.cart_items
            FOR EACH ROW EXECUTE FUNCTION public.too_many()""")
    batch = page(*(line("cart", f"doc {n}", 2) for n in range(100, 140)))
    with pytest.raises(SinkUnavailable, match="down"):
        await apply(sink, grant, batch, at=2)
    assert await found(connections, POSITION) == [('"1"',)]
    written = await found(
        connections, "SELECT count(*) FROM carts.cart_items WHERE cart_id = 'cart'"
    )
    assert written[0][0] in range(1, 6)
    await speed_up(connections)
    done = await apply(sink, grant, batch, at=2)
    assert done.upserted == 40  # by both tries together
    assert await found(connections, POSITION) == [('"2"',)]


async def test_a_portion_that_a_failover_lost_is_read_again(
    connections: Connections, sink: PostgresSink
) -> None:
    """A standby promoted without the first portions has the place that they left, and less."""
    await slow_down(connections, 2)
    grant = await begun(sink)
    await apply(sink, grant, lines(4), at=1)
    await speed_up(connections)
    before = await found(connections, "SELECT tick FROM projector.ranges")
    async with connections.session() as session:
        await session.execute("""
            CREATE FUNCTION public.too_many() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF NEW.id > 'doc 104' THEN RAISE EXCEPTION 'down' USING ERRCODE = '57P01'; END IF;
              RETURN NULL;
            END $$;
            CREATE TRIGGER slow AFTER INSERT ON projector_g1.cart_items
            FOR EACH ROW EXECUTE FUNCTION public.too_many()""")
    batch = page(*(line("cart", f"doc {n}", 2) for n in range(100, 140)))
    with pytest.raises(SinkUnavailable, match="down"):
        await apply(sink, grant, batch, at=2)
    await speed_up(connections)
    async with connections.session() as session:  # as the standby is
        await session.execute("""
            TRUNCATE projector_g1.cart_items, projector_g1.cart_totals, projector_g1.item_totals""")
        await session.execute("UPDATE projector.ranges SET tick = %s", before[0])
    with pytest.raises(FencedOut):
        await apply(sink, grant, batch, at=2)
    again = await sink.open(claim())
    again = await sink.begin(again, Beginning(position=position(1)))
    await apply(sink, again, batch, at=2)
    assert await found(connections, "SELECT count(*) FROM carts.cart_items") == [(40,)]


async def test_a_portion_is_fenced_as_a_batch_is(
    connections: Connections, sink: PostgresSink
) -> None:
    await slow_down(connections, 5)
    grant: Grant = await begun(sink)
    await sink.open(claim("1", FULL_RANGE, owner="host-b"))
    with pytest.raises(FencedOut):
        await apply(sink, grant, lines(40))
    assert await found(connections, "SELECT count(*) FROM carts.cart_items") == [(0,)]


async def test_one_document_that_is_too_much_is_waited_for(
    connections: Connections, sink: PostgresSink
) -> None:
    await slow_down(connections, 0)
    grant = await begun(sink)
    with pytest.raises(SinkTooSlow):
        await apply(sink, grant, lines(9))
    await speed_up(connections)
    assert (await apply(sink, grant, lines(9))).upserted == 9
    assert grant.stored in (None, NOWHERE)


HEAVY = """
CREATE FUNCTION public.too_many() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.item = 'heavy' THEN
    RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '57014';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER slow AFTER INSERT OR UPDATE ON projector_g1.cart_items
FOR EACH ROW EXECUTE FUNCTION public.too_many()"""


@pytest.mark.parametrize("older", [False, True], ids=["new", "with an older row"])
async def test_one_document_that_is_always_too_much_costs_itself(
    connections: Connections, sink: PostgresSink, grant: Grant, *, older: bool
) -> None:
    if older:
        await apply(sink, grant, page(line("a", "doc 050", 1)), at=1)
    async with connections.session() as session:
        await session.execute(HEAVY)
    batch = page(
        line("a", "doc 050", 2, item="heavy"), *(line("a", f"doc 1{n:02}", 2) for n in range(30))
    )
    for _ in range(ATTEMPTS_ALONE - 1):
        with pytest.raises(SinkTooSlow):
            await apply(sink, grant, batch, at=2)
        assert await found(connections, OPEN) == [(0,)]
    done = await apply(sink, grant, batch, at=2)
    assert await found(connections, POSITION) == [('"2"',)]
    assert await found(connections, "SELECT count(*) FROM carts.cart_items") == [(30,)]
    assert await found(connections, "SELECT line_count FROM carts.cart_totals") == [(30,)]
    entry = "SELECT document_id, reason, sqlstate, detail FROM projector.quarantine"
    assert await found(connections, entry) == [
        (
            "doc 050",
            "refused_by_target",
            "57014",
            "PostgreSQL: canceling statement due to statement timeout",
        )
    ]
    assert done.rejected == 1

    await speed_up(connections)  # and a newer version heals it
    await apply(sink, grant, page(line("a", "doc 050", 3, item="light")), at=3)
    assert await found(connections, OPEN) == [(0,)]
