"""Generations for tests: definitions that differ from carts, made, fed and made live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import msgspec
import psycopg

from projector.ports.generations import FillSource, GenerationState
from projector.postgres import generations as registry
from projector.postgres import switching
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.generations import Registered
from projector.postgres.sink import PostgresSink
from projector.projection.carts import CARTS
from projector.projection.definition import Definition, Field, Kind
from tests.integration.postgres.carts import apply, begun, line, page

NOTED = replace(
    CARTS,
    fields=(
        CARTS.fields[0],
        Field(name="note", column="note", kind=Kind.TEXT, optional=True, comment="A note."),
        *CARTS.fields[1:],
    ),
)
WITHOUT_CURRENCY = replace(
    CARTS, row_text=(), fields=CARTS.fields[:3], totals=(replace(CARTS.totals[1]),)
)
WHO = "anna@desk"
ROWS = "oid = 'carts.cart_items'::regclass"
COLUMNS = """SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
WHERE attrelid = 'carts.cart_items'::regclass AND attnum > 0"""


async def made(connections: Connections, definition: Definition = CARTS) -> Registered:
    return await registry.create(
        connections,
        definition,
        who=WHO,
        why="to try",
        source=FillSource.FEED,
        processor_name="projector",
        state=GenerationState.FOLLOWING,
    )


@asynccontextmanager
async def feeding(url: str, generation: Generation) -> AsyncIterator[PostgresSink]:
    async with Connections(ConnectionOptions(url=url, control=generation.control)) as connections:
        yield PostgresSink(connections, generation=generation)


def values(note: str | None) -> tuple[object, ...]:
    told = line("cart", "1", 1).values
    return (told[0], note, *told[1:])


async def fed(url: str, generation: Generation, *, at: int, lines: int = 1) -> None:
    """Bring a generation to a place, with so many lines in one cart."""
    async with feeding(url, generation) as sink:
        grant = await begun(sink)
        writes = [line("cart", str(number), number) for number in range(1, lines + 1)]
        if len(generation.definition.fields) > len(CARTS.fields):
            writes = [msgspec.structs.replace(one, values=values("n")) for one in writes]
        await apply(sink, grant, page(*writes), at=at)


async def beside(
    connections: Connections,
    url: str,
    definition: Definition = CARTS,
    *,
    at: int = 5,
    lines: int = 1,
) -> Registered:
    """The first generation is at a place, and so is a second one, with so many lines."""
    await fed(url, FIRST_GENERATION, at=at)
    second = await made(connections, definition)
    await fed(url, second.generation, at=at, lines=lines)
    return second


async def promoted(connections: Connections, number: int, **changes: object) -> None:
    await switching.promote(connections, number, **{"keep_seconds": 3600, "who": WHO, **changes})  # type: ignore[arg-type]


def one(sql: psycopg.Connection, query: str) -> object:
    row = sql.execute(query).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def snapshot_of(url: str) -> Iterator[psycopg.Connection]:
    """Somebody's transaction that goes on seeing this moment."""
    with psycopg.connect(url) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT 1")
        yield old
