"""A default time to live, set by mistake and taken back before the service removed what had expired."""

from __future__ import annotations

from tests.fixtures.emulator import control
from tests.integration.verify.support import Pair

LINES = 10
ROWS = "SELECT count(*) FROM carts.cart_items"
OPEN = "SELECT count(*) FROM projector.quarantine WHERE status = 'open'"


async def set_default_ttl(pair: Pair, seconds: int) -> None:
    async with pair.world.container() as container:
        database = container.client_connection
        definition = await container.read()
        await database.ReplaceContainer(
            container.container_link, {**definition, "defaultTtl": seconds}
        )


async def expired(pair: Pair) -> None:
    """All documents are copied, then they expire; nothing is removed from the service."""
    await pair.lines(LINES)
    await pair.world.write("cart-0", "bad", item="pear", quantity="many")
    await pair.world.write(5, "number", item="pear", quantity=1)
    await pair.drain()
    assert (await pair.value(ROWS), await pair.value(OPEN)) == (LINES, 2)
    await control(pair.world.server, "purge", {"automatic": False})
    await set_default_ttl(pair, 60)
    await pair.world.advance(3600)


async def replay(pair: Pair) -> None:
    """Without leases the next host reads everything again."""
    async with pair.copy() as copy:
        for lease in await copy.opened.leases.list_leases():
            await copy.opened.leases.delete(lease)
    await pair.drain()


async def equal(pair: Pair) -> bool:
    found = await pair.value(ROWS), await pair.value(OPEN), await pair.totals_wrong()
    return found == (LINES, 2, 0) and (await pair.verify()).consistent


async def test_verify_follows_both_ways(pair: Pair) -> None:
    await expired(pair)
    assert (await pair.verify(repair=True)).consistent
    assert (await pair.value(ROWS), await pair.value(OPEN)) == (0, 0)

    await set_default_ttl(pair, -1)
    report = await pair.verify(repair=True)
    assert report.consistent, report.unmended
    assert await equal(pair)


async def test_a_replay_follows_both_ways(pair: Pair) -> None:
    await expired(pair)
    await replay(pair)
    assert (await pair.value(ROWS), await pair.value(OPEN)) == (0, 0)

    await set_default_ttl(pair, -1)
    await replay(pair)
    assert await equal(pair)
