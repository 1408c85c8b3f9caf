"""What the console is told of the tables beside health."""

from __future__ import annotations

from projector.ports.generations import FillSource, GenerationState
from projector.ports.timeline import Kind
from projector.postgres import console, generations
from projector.postgres.connections import Connections
from projector.postgres.console import Counts, stored_side
from projector.postgres.control import fill_statement
from projector.postgres.timeline import record
from projector.projection.carts import CARTS

PART = """
INSERT INTO projector_g2.fill_parts (lease_token, version, min_epk, max_epk, documents, expected)
VALUES ('0', 0, '', 'FF', 5, 10)"""


async def test_a_rebuild_is_told_with_its_parts_while_there_is_one(
    connections: Connections,
) -> None:
    before = await stored_side(connections, Counts(connections))
    assert (before.generations, before.fill_parts) == ([], ())
    counted = ["cart_items", "cart_totals", "cart_amounts", "item_totals"]
    assert [one.view for one in before.counts] == [f"carts.{name}" for name in counted]
    await generations.create(
        connections,
        CARTS,
        who="ada@desk",
        why="a new column",
        source=FillSource.SCAN,
        processor_name="projector",
        state=GenerationState.FILLING,
    )
    async with connections.session() as session:
        table = fill_statement("projector_g2").replace("TABLE", "TABLE IF NOT EXISTS", 1)
        await session.execute(table.encode())
        await session.execute("TRUNCATE projector_g2.fill_parts")
        await session.execute(PART)
    told = await stored_side(connections, Counts(connections))
    [one] = told.generations
    assert (one.id, one.state, one.who) == (2, GenerationState.FILLING, "ada@desk")
    [part] = told.fill_parts
    assert (part.documents, part.expected) == (5, 10)
    assert told.timeline[0].kind == Kind.REBUILD_STARTED
    async with connections.session() as session:
        row = await (await session.execute("SHOW search_path")).fetchone()
    assert row == ("pg_catalog, projector, pg_temp",)


async def test_the_timeline_is_told_as_far_as_a_page_shows_it(connections: Connections) -> None:
    for number in range(console.TIMELINE_ENTRIES + 5):
        await record(connections, Kind.SPLIT, str(number), {}, "one")
    await record(connections, Kind.LEASE_MOVED, "0", {"from": "two"}, "one")  # balancing is no news
    told = await stored_side(connections, Counts(connections))
    assert len(told.timeline) == console.TIMELINE_ENTRIES
    assert told.timeline[0].subject == str(console.TIMELINE_ENTRIES + 4)
