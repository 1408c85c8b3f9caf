"""How current the copy is, as those see it who query: one sentence, and one answer for schedulers."""

from __future__ import annotations

import re

from tests.integration.verify.support import Pair, until

WHOLE = "SELECT {} FROM carts.freshness WHERE feed_range = 'all'"


async def summary(pair: Pair) -> str:
    return str(await pair.value(WHOLE.format("summary")))


async def test_one_sentence_tells_what_is_known_and_what_is_not(pair: Pair) -> None:
    assert await summary(pair) == "not known to be complete: 1 of 1 ranges say nothing"
    assert await pair.value("SELECT carts.is_fresh('1 year')") is False
    await pair.lines(5)
    await pair.line("odd", "1", quantity="many")
    async with pair.host():
        await until(lambda: pair.value("SELECT carts.is_fresh('1 hour')"))
    assert await pair.value("SELECT carts.is_fresh('0 s')") is False
    told = await summary(pair)
    assert re.fullmatch(
        r"complete up to \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+; 1 document in quarantine", told
    )


async def test_a_verification_is_told_with_the_generation_and_what_it_left(pair: Pair) -> None:
    columns = WHOLE.format("verified_through IS NOT NULL, verified_generation, quarantined")
    assert await pair.sql(columns) == [(False, None, 0)]
    await pair.lines(5)
    await pair.drain()
    await pair.sql("UPDATE projector_g1.cart_items SET quantity = 9 WHERE id = 'line-1'")
    async with pair.copy() as copy:
        await copy.remember(await copy.verify(repair=False))
    assert await pair.sql(columns) == [(True, 1, 0)]
    assert "the last verification left 3 differences" in await summary(pair)
