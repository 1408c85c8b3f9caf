"""Documents that nobody can ask for by their id, through everything that asks for single documents."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from cosmos_emulator.odd_ids import OddIdAnswer
from projector.reconcile.repair import RetryOutcome
from tests import wild
from tests.fixtures.emulator import control
from tests.integration.cosmos.support import CART, COLLECTION
from tests.integration.verify.support import Pair

GOOD: dict[str, Any] = {"item": "apple", "quantity": 2, "price": 1.25, "currency": "EUR"}
ROWS = "SELECT cart_id, id, quantity::int FROM carts.cart_items ORDER BY cart_id, id"
ENTRIES = """
SELECT document_id, id FROM projector.quarantine WHERE partition_key = '"cart"'"""
LIES = [answer for answer in OddIdAnswer if answer is not OddIdAnswer.AS_SENT]

Key = tuple[str, str]
KEYS: list[Key] = [("cart", one) for one in wild.IDS] + [(one, "a/b") for one in wild.IDS]


async def store(pair: Pair, keys: Iterable[Key], **fields: Any) -> None:
    """Write documents that the SDK would refuse to write."""
    lines = [json.dumps({"id": id_, "cartId": cart, **GOOD, **fields}) for cart, id_ in keys]
    await control(pair.world.server, f"{COLLECTION}/bulk", "\n".join(lines).encode())


def remove(pair: Pair, keys: Iterable[Key]) -> None:
    container = pair.world.server.engine.container(CART.database, CART.container)
    for cart, id_ in keys:
        container.delete(id_, container.keys.key_of({"cartId": cart}))


async def rows(pair: Pair) -> list[Key]:
    found = await pair.sql(ROWS)
    assert all(row[2] == 2 for row in found)
    return [(row[0], row[1]) for row in found]


async def replay(pair: Pair) -> None:
    """Without leases the next host reads everything again."""
    async with pair.copy() as copy:
        for lease in await copy.opened.leases.list_leases():
            await copy.opened.leases.delete(lease)


@pytest.mark.parametrize("answer", LIES)
async def test_stale_rows_are_mended_and_gone_ones_swept(pair: Pair, answer: OddIdAnswer) -> None:
    await store(pair, KEYS)
    marked = KEYS[::5]
    await pair.drain()
    assert await rows(pair) == sorted(KEYS)
    await control(pair.world.server, "odd_ids", {"answer": answer})

    await pair.sql("UPDATE projector_g1.cart_items SET quantity = 7")
    await store(pair, marked, ttl=3600)
    await pair.drain()
    await pair.sql("UPDATE projector_g1.cart_items SET deleted = false, item = 'x', quantity = 1")
    report = await pair.verify(repair=True)
    live = sorted(set(KEYS) - set(marked))
    assert report.consistent, report.unmended
    assert await rows(pair) == live

    gone = live[::2]
    remove(pair, gone)
    await replay(pair)
    await pair.drain()
    assert await rows(pair) == sorted(set(live) - set(gone))
    assert await pair.totals_wrong() == 0
    assert (await pair.verify()).consistent


@pytest.mark.parametrize("answer", LIES)
async def test_an_entry_is_closed_by_its_own_document_only(pair: Pair, answer: OddIdAnswer) -> None:
    odd = [("cart", one) for one in ("a/b", "b?", "5 ", "\\5", "\\null", "a\\b")]
    await store(pair, [("cart", "a"), ("cart", "b"), ("cart", "5")])
    await store(pair, odd, quantity="many")
    number = b'{"id":5,"cartId":"cart","item":"x","quantity":1}'
    await control(pair.world.server, f"{COLLECTION}/raw?id=number", number)
    await pair.drain()
    await control(pair.world.server, "odd_ids", {"answer": answer})
    await store(pair, odd[2:4])
    remove(pair, odd[4:])

    async with pair.copy() as copy:
        done = {one.entry_id: one.outcome for one in await copy.retry_all()}
    entries = {row[0]: row[1] for row in await pair.sql(ENTRIES)}
    assert [done.pop(entries[one]) for _, one in odd] == [
        *[RetryOutcome.STILL_REJECTED] * 2,
        *[RetryOutcome.HEALED] * 2,
        *[RetryOutcome.GONE] * 2,
    ]
    assert list(done.values()) == [RetryOutcome.UNREADABLE]  # the number 5, not the text "\5"
    assert {one for _, one in await rows(pair)} == {"a", "b", "5", "5 ", "\\5"}
    assert (await pair.verify()).consistent
