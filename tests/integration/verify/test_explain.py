from __future__ import annotations

import re

import pytest

from projector.operations.explain import Explanation, explain
from projector.postgres.explain import stored_key
from projector.postgres.quarantine import discard_entry
from tests.carts import CART_PROJECTION
from tests.integration.verify.support import Pair


async def explained(pair: Pair, cart_id: str = "cart") -> dict[str, Explanation]:
    key = f'"{cart_id}"'
    async with pair.copy() as copy:
        stored = await stored_key(
            copy.connections,
            container_rid=copy.opened.container_rid,
            key=cart_id,
            partition_key_json=key,
        )
        pages = await copy.opened.carts.read(key)
    return {one.id: one for one in explain(pages, stored, CART_PROJECTION)}


async def test_each_document_of_a_cart_is_explained(pair: Pair) -> None:
    await pair.line("cart", "copied")
    await pair.line("cart", "changed")
    await pair.line("cart", "marked", ttl=3600)
    await pair.line("cart", "vanished")
    await pair.line("cart", "extra")
    await pair.line("other", "elsewhere")
    await pair.world.write("cart", "bad", item="x", quantity="many")
    await pair.world.write("cart", "discarded", item="x", quantity="many")
    await pair.drain()
    entry = await pair.value("SELECT id FROM projector.quarantine WHERE document_id = 'discarded'")
    async with pair.connections() as connections:
        assert await discard_entry(connections, entry)
    await pair.world.delete("cart", "vanished")
    assert (await pair.verify(repair=True)).extra == 1
    await pair.world.delete("cart", "extra")
    await pair.line("cart", "changed", quantity=9)
    await pair.line("cart", "new")

    found = await explained(pair)
    expected = {
        "copied": ("good", "live", "copied: the row is this very version"),
        "changed": (
            "good",
            "live",
            r"behind: the row is an older version.*lease \d+ of nobody is at LSN",
        ),
        "marked": ("marked", "tombstone", "removed at LSN.*the mark of a deletion"),
        "vanished": ("absent", "tombstone", "a point read found the document gone"),
        "extra": ("absent", "live", "extra: the document is gone.*verify --repair"),
        "bad": ("rejected", "tombstone", "not good .bad_quantity.*kept as quarantine entry"),
        "discarded": ("rejected", "tombstone", "not good .*discarded by hand"),
        "new": ("good", "absent", "not applied yet; lease"),
    }
    assert set(found) == set(expected)
    for id_, (in_container, in_rows, decision) in expected.items():
        one = found[id_]
        assert (one.in_container, one.in_rows) == (in_container, in_rows), one
        assert re.search(decision, one.decision), one.decision


async def test_what_the_target_refused_and_what_is_older_than_the_start_is_said(
    pair: Pair,
) -> None:
    await pair.line("cart", "old")
    await pair.world.advance(3)
    pair.values["start_from"] = "now"
    await pair.drain()
    await pair.sql("ALTER TABLE projector_g1.cart_items ADD CHECK (item <> 'boom')")
    await pair.line("cart", "boom", item="boom")
    await pair.drain()
    found = await explained(pair)
    assert "left out: it was last changed before" in found["old"].decision
    assert "refused by PostgreSQL" in found["boom"].decision


@pytest.mark.parametrize("cart_id", ["nobody", "with space", "ümläut-日本", "5"])
async def test_a_cart_of_any_name_can_be_asked_for(pair: Pair, cart_id: str) -> None:
    assert await explained(pair, cart_id) == {}
    await pair.line(cart_id, "one")
    found = await explained(pair, cart_id)
    assert "no range of PostgreSQL holds this cart: start a host" in found["one"].decision
