from __future__ import annotations

from typing import Any

import pytest

from projector.core.errors import ConfigurationError
from projector.postgres.quarantine import discard_entry
from projector.postgres.resets import request_replay
from projector.reconcile.repair import RetryOutcome
from tests.fixtures.emulator import control
from tests.integration.cosmos.support import COLLECTION
from tests.integration.verify.support import Pair

BAD: dict[str, Any] = {"item": "pear", "quantity": "many"}
OPEN = "SELECT count(*) FROM projector.quarantine WHERE status = 'open'"
STATUS = "SELECT status FROM projector.quarantine WHERE document_id = %s"
ENTRY = "SELECT id FROM projector.quarantine WHERE document_id = %s"
LIVE = "SELECT count(*) FROM carts.cart_items WHERE id = %s"


async def entry_of(pair: Pair, document_id: str) -> int:
    return int(await pair.value(ENTRY, document_id))


async def retry(pair: Pair, document_id: str) -> RetryOutcome:
    entry = await entry_of(pair, document_id)
    async with pair.copy() as copy:
        return (await copy.retry_entry(entry)).outcome


async def reset(pair: Pair) -> None:
    """Ask for a replay of everything."""
    async with pair.copy() as copy:
        await request_replay(copy.connections, copy.opened.container_rid)


async def rejected(pair: Pair) -> None:
    await pair.lines(5)
    await pair.world.write("cart-0", "bad", **BAD)
    await pair.drain()
    assert await pair.value(OPEN) == 1


async def test_retry_brings_the_row_back_when_the_document_is_good_now(pair: Pair) -> None:
    await rejected(pair)
    await pair.line("cart-0", "bad", quantity=4)
    assert await retry(pair, "bad") is RetryOutcome.HEALED
    assert await pair.value(STATUS, "bad") == "closed"
    assert await pair.value(LIVE, "bad") == 1
    assert await pair.totals_wrong() == 0
    await pair.drain()
    assert (await pair.verify()).consistent


async def test_retry_closes_the_entry_of_a_document_that_is_gone(pair: Pair) -> None:
    await rejected(pair)
    await pair.world.delete("cart-0", "bad")
    assert await retry(pair, "bad") is RetryOutcome.GONE
    assert await pair.value(STATUS, "bad") == "closed"
    assert (await pair.verify()).consistent


async def test_retry_of_a_marked_document_closes_its_entry(pair: Pair) -> None:
    await rejected(pair)
    await pair.line("cart-0", "bad", ttl=3600)
    assert await retry(pair, "bad") is RetryOutcome.GONE
    assert await pair.value(LIVE, "bad") == 0


async def test_retry_of_what_is_still_bad_counts_once_more(pair: Pair) -> None:
    await rejected(pair)
    assert await retry(pair, "bad") is RetryOutcome.STILL_REJECTED
    assert await pair.value(STATUS, "bad") == "open"
    assert await pair.value("SELECT count FROM projector.quarantine") == 2
    report = await pair.verify()
    assert report.consistent, report


async def test_retry_of_what_the_target_refuses_heals_once_it_is_taken(pair: Pair) -> None:
    await pair.sql(
        "ALTER TABLE projector_g1.cart_items ADD CONSTRAINT no_boom CHECK (item <> 'boom')"
    )
    await pair.lines(5)
    await pair.line("cart-0", "boom", item="boom")
    await pair.drain()
    assert await pair.value("SELECT sqlstate FROM projector.quarantine") == "23514"
    report = await pair.verify()
    assert report.consistent, report
    assert await retry(pair, "boom") is RetryOutcome.STILL_REJECTED
    assert await pair.value(STATUS, "boom") == "open"
    assert (await pair.verify(repair=True)).consistent
    assert await pair.value(STATUS, "boom") == "open"

    await pair.sql("ALTER TABLE projector_g1.cart_items DROP CONSTRAINT no_boom")
    assert await retry(pair, "boom") is RetryOutcome.HEALED
    assert await pair.value(LIVE, "boom") == 1
    assert (await pair.verify()).consistent


async def test_retry_all_gives_each_entry_its_outcome(pair: Pair) -> None:
    await rejected(pair)
    await pair.world.write("cart-1", "mended", **BAD)
    await pair.world.write(5, "number", item="x", quantity=1)
    await pair.world.raw(b'{"id":"\\ud800","cartId":"c","item":"x","quantity":1}')
    await pair.drain()
    await pair.line("cart-1", "mended")
    async with pair.copy() as copy:
        done = await copy.retry_all()
    by_entry = {one.entry_id: one.outcome for one in done}
    assert len(by_entry) == 4
    assert by_entry[await entry_of(pair, "bad")] is RetryOutcome.STILL_REJECTED
    assert by_entry[await entry_of(pair, "mended")] is RetryOutcome.HEALED
    assert by_entry[await entry_of(pair, "number")] is RetryOutcome.STILL_REJECTED
    assert RetryOutcome.UNREADABLE in by_entry.values()
    report = await pair.verify()
    assert report.consistent, report


async def test_a_scheduled_retry_asks_for_what_may_have_changed_alone(pair: Pair) -> None:
    await rejected(pair)
    await pair.world.write("cart-1", "other", **BAD)
    await pair.drain()

    async def asked(**settings: str) -> int:
        pair.values |= settings
        async with pair.copy() as copy:
            return (await copy.retry_due()).total()

    later = "UPDATE projector.quarantine SET asked_at = asked_at - %s * interval '1 hour',"
    later += " first_seen_at = asked_at - %s * interval '1 hour' WHERE document_id = 'bad'"
    await pair.sql("UPDATE projector.quarantine SET first_seen_at = now() - interval '1 day'")
    assert await asked() == 2  # once each
    assert await asked() == 0
    await pair.sql(later, 5, 11)  # six hours after it came, and five hours ago
    assert await asked() == 0
    await pair.sql(later, 7, 13)
    assert await asked() == 1
    await pair.sql("UPDATE projector.quarantine SET asked_by = 'an older program'")
    assert await asked() == 2
    async with pair.copy() as copy:
        assert len(await copy.retry_all()) == 2  # by hand all are asked for


async def test_a_discarded_version_stays_discarded_over_a_replay_and_a_repair(pair: Pair) -> None:
    await rejected(pair)
    entry = await entry_of(pair, "bad")
    async with pair.copy() as copy:
        assert await discard_entry(copy.connections, entry)
        assert not await discard_entry(copy.connections, entry)
    await reset(pair)
    await pair.drain()
    assert await pair.value(STATUS, "bad") == "discarded"
    # its row was damaged: the repair reads the rejected version again, at a later place
    await pair.sql(
        "UPDATE projector_g1.cart_items SET deleted = false, rejected = false, item = 'x',"
        " quantity = 1 WHERE id = 'bad'"
    )
    await pair.line("cart-0", "later")
    await pair.drain()
    assert (await pair.verify(repair=True)).consistent
    assert await pair.value(STATUS, "bad") == "discarded"
    assert await pair.value(LIVE, "bad") == 0

    await pair.world.write("cart-0", "bad", **BAD)  # a newer version, bad as well
    await pair.drain()
    assert await pair.value(STATUS, "bad") == "open"


async def test_an_entry_that_is_closed_or_unknown_is_refused_with_a_remedy(pair: Pair) -> None:
    await rejected(pair)
    async with pair.copy() as copy:
        with pytest.raises(ConfigurationError, match="type: projector quarantine list"):
            await copy.retry_entry(4711)
    await pair.line("cart-0", "bad")
    await pair.drain()
    with pytest.raises(ConfigurationError, match="closed already"):
        await retry(pair, "bad")


KINDS = {
    "id is a surrogate": rb'{"id":"\ud800","cartId":"k","item":"x","quantity":1}',
    "cartId is null": b'{"id":"i","cartId":null,"item":"x","quantity":1}',
    "cartId is a number": b'{"id":"i","cartId":1.50,"item":"x","quantity":1}',
    "cartId is missing": b'{"id":"i","item":"x","quantity":1}',
    "quantity is NaN": b'{"id":"i","cartId":"k","item":"x","quantity":NaN}',
    "quantity has 40 digits": b'{"id":"i","cartId":"k","item":"x","quantity":' + b"9" * 40 + b"}",
    "item has NUL": rb'{"id":"i","cartId":"k","item":"a\u0000b","quantity":1}',
    "bad UTF-8": b'{"id":"i","cartId":"k","item":"\xff","quantity":1}',
    "currency is wrong": b'{"id":"i","cartId":"k","item":"x","quantity":1,"price":1,"currency":"x"}',
}


# Bytes that do not say what they were stored under.
STORED_UNDER = {
    "id is missing": ("id=i", b'{"cartId":"k","item":"x","quantity":1}'),
    "nothing at all": ("id=i&partitionKey=%22k%22", b"{}"),
}


@pytest.mark.parametrize(
    ("query", "body"),
    [*(("", body) for body in KINDS.values()), *STORED_UNDER.values()],
    ids=[*KINDS, *STORED_UNDER],
)
async def test_documents_of_every_bad_kind_are_no_drift(
    pair: Pair, query: str, body: bytes
) -> None:
    await pair.lines(3)
    await control(pair.world.server, f"{COLLECTION}/raw?{query}", body)
    await pair.drain()
    assert await pair.value(OPEN) == 1
    report = await pair.verify()
    assert report.consistent, report
    assert report.documents == 4
    async with pair.copy() as copy:
        outcome = (await copy.retry_all())[0].outcome
    assert outcome in {RetryOutcome.STILL_REJECTED, RetryOutcome.UNREADABLE}
    assert (await pair.verify()).consistent
