"""A rebuild costs no past: the times of before are answered from the generation that was live then."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from projector.postgres import switching
from projector.postgres.bridging import bridge
from projector.postgres.connections import Connections
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.recording import Recording, RecordingOptions, begin_unread
from projector.projection.carts import CARTS
from projector.projection.definition import Definition
from tests.integration.postgres.carts import apply, begun, line, page
from tests.integration.postgres.generations import NOTED, WHO, feeding, made, promoted, values
from tests.integration.postgres.test_history import COMPLETE, ask, execute, now, refused

ITEMS = "SELECT id, item, quantity FROM carts.cart_items{} ORDER BY id"
KINDS = (
    "SELECT id, kind, old_quantity, new_quantity FROM carts.cart_events ORDER BY projected_at, id"
)


async def items(connections: Connections, at: object = None) -> list[tuple[Any, ...]]:
    if at is None:
        return await ask(connections, ITEMS.format(""))
    return await ask(connections, ITEMS.format("_as_of(%s)"), at)


@pytest.mark.parametrize("definition", [CARTS, NOTED], ids=["the same", "a column more"])
async def test_times_of_before_a_promotion_are_known_after_it(
    connections: Connections, database_url: str, definition: Definition
) -> None:
    """Also after going back; what both differed in is an event of the moment."""
    truth = []
    async with feeding(database_url, FIRST_GENERATION) as first:
        grant = await begun(first)
        await apply(first, grant, page(line("cart", "1", 1), line("cart", "2", 2)))
        await execute(connections, COMPLETE)
        assert await Recording(connections, RecordingOptions()).begin()
        truth.append((await now(connections), await items(connections)))
        await apply(first, grant, page(line("cart", "1", 3, quantity="3")), at=2)
        truth.append((await now(connections), await items(connections)))
        second = (await made(connections, definition)).generation
        async with connections.transaction() as session:
            await begin_unread(session, second, found=0)
        async with feeding(database_url, second) as other:
            more = [
                line("cart", "1", 3, quantity="3"),
                line("cart", "2", 2, quantity="7"),
                line("cart", "3", 3),
            ]
            if definition is NOTED:
                more = [msgspec.structs.replace(one, values=noted(one.values)) for one in more]
            await apply(other, await begun(other), page(*more), at=2)
            await promoted(connections, 2, forced=True)
            await apply(first, grant, page(line("cart", "1", 4, quantity="4")), at=3)
            truth.append((await now(connections), await items(connections)))
            await refused(connections, truth[0][0], "the first time that is known is")
            assert await bridge(connections, second) == 2
            assert await bridge(connections, second) is None
            for at, found in truth:
                assert await items(connections, at) == found
            assert await ask(connections, KINDS) == [
                ("1", "changed", 1, 3),
                ("2", "rebuilt", 1, 7),
                ("3", "rebuilt", None, 1),
            ]
            await switching.rollback(connections, keep_seconds=60, who=WHO, forced=True)
            truth.append((await now(connections), await items(connections)))
            assert await bridge(connections, FIRST_GENERATION) == 3
            for at, found in truth:
                assert await items(connections, at) == found


def noted(stored: tuple[Any, ...]) -> tuple[Any, ...]:
    return (stored[0], values("n")[1], *stored[1:])
