from __future__ import annotations

import pytest

from projector.reconcile.report import VerifyReport
from tests.integration.verify.support import Pair

REJECTED = {"item": "pear", "quantity": "many"}


def drift(report: VerifyReport) -> tuple[int, int, int]:
    return report.missing, report.extra, report.stale


async def test_a_copy_that_is_right_is_consistent(pair: Pair) -> None:
    await pair.lines(60)
    await pair.world.write("bad", "bad", **REJECTED)
    await pair.line("gone", "gone", ttl=3600)
    await pair.drain()
    report = await pair.verify()
    assert report.consistent, report
    assert (report.documents, report.rows, report.pending) == (62, 60, 0)
    assert drift(report) == (0, 0, 0)
    assert report.totals_wrong == 0


PLANTED = {
    "row removed": (
        "DELETE FROM projector_g1.cart_items WHERE id = 'line-3'",
        (1, 0, 0),
        "there is no row",
    ),
    "row turned into a tombstone": (
        "UPDATE projector_g1.cart_items SET deleted = true WHERE id = 'line-3'",
        (1, 0, 0),
        "the row is a tombstone",
    ),
    "row of no document": (
        """INSERT INTO projector_g1.cart_items (epk, lsn, ts, lineage, deleted, cart_id, id, item, quantity, etag) SELECT epk, 1, 1, 0, false, 'cart-0', 'nobody', 'x', 1, 'e' FROM projector_g1.cart_items WHERE id = 'line-3'""",
        (0, 1, 0),
        "its row lives",
    ),
    "marked document that lives": (
        """UPDATE projector_g1.cart_items SET deleted = false, item = 'x', quantity = 1 WHERE id = 'marked'""",
        (0, 1, 0),
        "its row lives",
    ),
    "quantity changed at the same version": (
        "UPDATE projector_g1.cart_items SET quantity = 7 WHERE id = 'line-3'",
        (0, 0, 1),
        "quantity is 7, not 2",
    ),
    "price lost": (
        "UPDATE projector_g1.cart_items SET unit_price = NULL WHERE id = 'line-3'",
        (0, 0, 1),
        "price is absent, not 1.25",
    ),
    "extra fields changed": (
        """UPDATE projector_g1.cart_items SET extra = '{"a": 1}' WHERE id = 'line-3'""",
        (0, 0, 1),
        "other fields differ",
    ),
    "older version kept": (
        "UPDATE projector_g1.cart_items SET etag = 'old', ts = 1, lsn = 0 WHERE id = 'line-3'",
        (0, 0, 1),
        "_etag is old",
    ),
    "place among the keys wrong": (
        "UPDATE projector_g1.cart_items SET epk = 5 WHERE id = 'line-3'",
        (0, 0, 1),
        "its place among the keys is wrong",
    ),
    "quarantine entry lost": (
        "DELETE FROM projector.quarantine WHERE document_id = 'bad'",
        (1, 0, 0),
        "not in quarantine",
    ),
    "quarantine entry of an older version": (
        "UPDATE projector.quarantine SET etag = 'old' WHERE document_id = 'bad'",
        (0, 0, 1),
        "the quarantine has another version",
    ),
    "row of a rejected document": (
        """UPDATE projector_g1.cart_items SET deleted = false, rejected = false, item = 'x', quantity = 1 WHERE id = 'bad'""",
        (0, 1, 0),
        "its row lives",
    ),
    "quarantine entry of a good document": (
        """INSERT INTO projector.quarantine (key_1, key_2, partition_key, document_id, key, epk, lineage, lsn, ts, etag, status, reason, detail, raw, first_seen_at, last_seen_at) SELECT hashtextextended('"cart-0"' || chr(1) || id, 0), hashtextextended('"cart-0"' || chr(1) || id, 24301), '"cart-0"', id, cart_id, epk, 0, 0, 1, 'old', 'open', 'bad_item', '', '', now(), now() FROM projector_g1.cart_items WHERE id = 'line-3'""",
        (0, 1, 0),
        "it is in quarantine",
    ),
}


@pytest.mark.parametrize(("statement", "expected", "detail"), PLANTED.values(), ids=PLANTED.keys())
async def test_planted_drift_is_found_named_and_mended(
    pair: Pair, statement: str, expected: tuple[int, int, int], detail: str
) -> None:
    await pair.lines(12)
    await pair.world.write("bad", "bad", **REJECTED)
    await pair.line("cart-0", "marked", ttl=3600)
    await pair.drain()
    await pair.sql(statement)

    found = await pair.verify()
    assert not found.consistent
    assert drift(found) == expected
    assert [detail in one.detail for one in found.examples] == [True]
    assert found.repaired == 0

    mended = await pair.verify(repair=True)
    assert mended.consistent, mended
    assert drift(mended) == expected
    assert mended.repaired >= 1
    assert mended.unmended == ()

    again = await pair.verify()
    assert again.consistent, again
    assert (drift(again), again.totals_wrong, again.rows) == ((0, 0, 0), 0, 12)
    assert await pair.totals_wrong() == 0
    await pair.drain()
    assert (await pair.verify()).consistent


async def test_wrong_totals_are_found_and_mended(pair: Pair) -> None:
    await pair.lines(30)
    await pair.drain()
    await pair.sql("UPDATE projector_g1.cart_totals SET total_amount = 1 WHERE cart_id = 'cart-1'")
    await pair.sql("DELETE FROM projector_g1.cart_totals WHERE cart_id = 'cart-2'")
    await pair.sql("INSERT INTO projector_g1.cart_totals VALUES (3, 'nobody', 'EUR', 3, 3)")
    await pair.sql("UPDATE projector_g1.item_totals SET line_count = 4")
    await pair.sql(
        "UPDATE projector_g1.cart_totals SET last_changed_at = '2001-02-03Z' WHERE cart_id = 'cart-0'"
    )

    found = await pair.verify()
    assert not found.consistent
    assert (found.totals_wrong, drift(found)) == (5, (0, 0, 0))
    assert any("last change 2001-02-03" in one for one in found.totals_examples)
    assert any("cart cart-1, currency EUR: off by 0 lines" in one for one in found.totals_examples)

    mended = await pair.verify(repair=True)
    assert mended.consistent
    assert mended.repaired == 5
    assert await pair.totals_wrong() == 0
    assert (await pair.verify()).totals_wrong == 0


@pytest.mark.parametrize("damage", ["quantity = 7", "deleted = true", "item = 'y', extra = '{}'"])
async def test_damage_to_the_newest_version_of_a_partition_is_mended(
    pair: Pair, damage: str
) -> None:
    """The read that mends it bears the very version of the row."""
    await pair.line("cart", "only")
    await pair.drain()
    await pair.sql(f"UPDATE projector_g1.cart_items SET {damage}")
    report = await pair.verify(repair=True)
    assert report.consistent, report
    assert report.missing + report.stale == 1
    assert await pair.sql("SELECT item, quantity FROM carts.cart_items") == [("apple", 2)]
    assert await pair.totals_wrong() == 0
