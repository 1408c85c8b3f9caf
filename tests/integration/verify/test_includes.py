"""Read your own writes: the session tokens of the real SDK, and what `carts.includes` makes of them.

The one rule: true only when the write is in the rows. It is looked at while hosts come, go and are cut off
and ranges split and merge, by asking for the answer and for the row in one statement.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import psycopg
import pytest

from tests.fixtures.emulator import control
from tests.integration.cosmos.support import COLLECTION
from tests.integration.verify.support import Pair, until

ANSWER = """
SELECT carts.includes(%s) AS included,
  EXISTS (SELECT FROM carts.cart_items WHERE cart_id = %s AND id = %s AND quantity = %s) AS there"""


@dataclass(frozen=True, slots=True)
class Write:
    """One write, and the token that the service answered it with."""

    cart_id: str
    document_id: str
    quantity: int
    token: str


async def write(pair: Pair, cart_id: str, document_id: str, quantity: object = 1) -> Write:
    async with pair.world.container() as container:
        answer = await container.upsert_item(
            {"id": document_id, "cartId": cart_id, "item": "apple", "quantity": quantity}
        )
    token = answer.get_response_headers()["x-ms-session-token"]
    return Write(cart_id, document_id, quantity if isinstance(quantity, int) else 0, token)


async def included(pair: Pair, one: Write) -> bool | None:
    """The answer; never true while the row is not there."""
    [(answer, there)] = await pair.sql(
        ANSWER, one.token, one.cart_id, one.document_id, one.quantity
    )
    assert not answer or there, f"{one} was said to be in the rows too early"
    return answer if answer is None else bool(answer)


async def answer_to(pair: Pair, token: str | None) -> bool | None:
    found = await pair.value("SELECT carts.includes(%s)", token)
    return found if found is None else bool(found)


async def test_a_write_is_waited_for_and_then_read(pair: Pair) -> None:
    async with pair.host():
        for number in range(6):
            one = await write(pair, f"cart-{number}", "line", number)
            while not await included(pair, one):
                await pair.sql("SELECT carts.wait_until_includes(%s, '100 ms')", one.token)


async def test_never_too_early_under_splits_merges_and_hosts_that_are_cut_off(pair: Pair) -> None:
    written: list[Write] = []
    done = asyncio.Event()

    async def shoppers() -> None:
        for number in range(120):
            written.append(await write(pair, f"cart-{number % 17}", f"line-{number}", number))
            await asyncio.sleep(0.01)
        done.set()

    async def readers() -> None:
        while not done.is_set():
            for one in written[-8:]:
                await included(pair, one)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(shoppers())
        group.create_task(readers())
        async with pair.host():
            await until(lambda: len(written) > 20)
            await pair.world.split("0")
            await until(lambda: len(written) > 60)
        async with pair.host():
            await until(lambda: len(written) > 80)
            # The merged partition counts from far below, so its first tokens look old to whoever forgot it.
            await control(
                pair.world.server, f"{COLLECTION}/merge", {"ranges": ["1", "2"], "lsn": 1}
            )
            await done.wait()
            latest = {one.token.partition(":")[0]: one for one in written}
            living = {target.range_id for target in await pair.world.targets()}
            for range_id, one in latest.items():
                if range_id in living:
                    await until(partial(included, pair, one))
    gone = [one for one in written if one.token.partition(":")[0] not in living]
    assert gone
    assert {await included(pair, one) for one in gone} == {None}


async def test_what_nobody_reads_is_unknown_and_what_is_behind_is_false(pair: Pair) -> None:
    first = await write(pair, "a", "1")
    assert await included(pair, first) is None
    async with pair.host():
        await until(lambda: included(pair, first))
    later = await write(pair, "a", "1", 2)
    assert await included(pair, later) is False
    assert await included(pair, first) is True or (await included(pair, later)) is False


@pytest.mark.parametrize(
    "token",
    ["", "0", "0:", "0:x", "0:-1#x", "999:-1#1", "0:-1#1#7=3", "0:99999999999999999999"],
)
async def test_a_token_that_says_nothing_of_the_copy_is_unknown(pair: Pair, token: str) -> None:
    await pair.drain()
    assert await answer_to(pair, token) is None


async def test_a_list_is_included_when_all_of_it_is(pair: Pair) -> None:
    written = [await write(pair, f"cart-{number}", "line") for number in range(30)]
    latest = {one.token.partition(":")[0]: one.token for one in written}
    assert len(latest) == 4
    await pair.drain()
    assert await answer_to(pair, ",".join(latest.values())) is True
    range_id, _, vector = latest["0"].partition(":")
    ahead = f"{range_id}:-1#{int(vector.split('#')[1]) + 1}"
    assert await answer_to(pair, ahead) is False
    assert await answer_to(pair, f"{latest['1']},{ahead}") is False
    assert await answer_to(pair, f"{latest['1']},77:-1#1") is None
    assert await answer_to(pair, f"{ahead},77:-1#1") is False
    assert await answer_to(pair, None) is None


async def test_a_write_that_went_into_quarantine_is_in_no_row(pair: Pair) -> None:
    good = await write(pair, "a", "1")
    bad = await write(pair, "a", "1", "many")
    await pair.drain()
    assert await answer_to(pair, bad.token) is False
    assert await answer_to(pair, good.token) is True
    mended = await write(pair, "a", "1", 3)
    await pair.drain()
    assert await included(pair, mended) is True


async def test_waiting_gives_up_in_time_and_refuses_a_snapshot_that_never_changes(
    pair: Pair,
) -> None:
    await pair.drain()
    one = await write(pair, "a", "1")
    assert not await pair.value("SELECT carts.wait_until_includes(%s, '50 ms')", one.token)
    connection = await psycopg.AsyncConnection.connect(pair.url)
    async with connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        with pytest.raises(psycopg.errors.ActiveSqlTransaction, match="snapshot never changes"):
            await connection.execute("SELECT carts.wait_until_includes(%s)", [one.token])
        await connection.rollback()
