"""The sweep of a replay on a container that has little to spare."""

from __future__ import annotations

from tests.integration.verify.support import Pair

ROWS = 40
COUNT_BEGINNINGS = """
CREATE TABLE public.beginnings (at timestamptz);
CREATE FUNCTION begun() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.beginnings VALUES (now()); RETURN NULL; END $$;
CREATE TRIGGER begun AFTER INSERT ON projector.replay_candidates
FOR EACH STATEMENT EXECUTE FUNCTION begun()"""


async def test_a_throttled_point_read_is_asked_again_alone(pair: Pair) -> None:
    """Were the others given up with it, a sweep on a small container would never end."""
    await pair.lines(ROWS)
    await pair.drain()
    for number in range(ROWS):
        await pair.world.delete(f"cart-{number // 5}", f"line-{number}")
    async with pair.copy() as copy:
        ranges = await copy.opened.leases.list_leases()
        for lease in ranges:
            await copy.opened.leases.delete(lease)
    for number in range(0, ROWS, 3):
        await pair.world.fault(
            path_prefix=f"/dbs/acme-webstore/colls/cart/docs/line-{number}",
            status=429,
            retry_after_ms=10,
            times=5,
        )
    await pair.sql(COUNT_BEGINNINGS)
    await pair.drain()
    assert await pair.value("SELECT count(*) FROM public.beginnings") == len(ranges)
    assert await pair.value("SELECT count(*) FROM carts.cart_items") == 0
    assert await pair.totals_wrong() == 0
