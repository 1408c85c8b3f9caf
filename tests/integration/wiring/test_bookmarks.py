"""Snapshots, restores and resets to a time in the test's own process, against the emulator and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from projector.core.bookmarks import Snapshot
from projector.core.errors import (
    ConfigurationError,
    LeaseStoreUnavailable,
    OtherSource,
    SourceRecreated,
)
from projector.operations.leases import Consent
from projector.ports.feed import Beginning
from projector.ports.generations import FillSource, GenerationState
from projector.postgres import generations
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.sink import PostgresSink
from projector.processor.clock import SystemClock
from projector.projection.carts import CARTS as CARTS_DEFINITION
from projector.settings import Settings
from projector.wiring import bookmarks, commands
from projector.wiring.commands import prepared_reset
from tests.fixtures.emulator import control
from tests.integration.postgres.carts import claim, position
from tests.integration.wiring.support import Shop, delivered
from tests.simulation.oracle import differences
from tests.simulation.trade import CART_LINES

pytestmark = pytest.mark.postgres

CARTS = 20


@pytest.fixture
async def copied(shop: Shop) -> Shop:
    """A shop that was read to its end."""
    shop.open(CARTS)
    await shop.delivered()
    return shop


async def saved(wanted: Settings, name: str = "before") -> Snapshot:
    taken = await bookmarks.take_snapshot(wanted, name, clock=SystemClock())
    await bookmarks.keep_snapshot(wanted, taken, over=True)
    return taken


async def go_back(
    wanted: Settings, to: Snapshot | datetime, *, token: str | None = None, from_file: bool = False
) -> int:
    opening = bookmarks.going_back(
        wanted, to, clock=SystemClock(), token=token, from_file=from_file
    )
    async with opening as prepared:
        return sum(done.changed for done in await prepared.carry_out())


async def reset(wanted: Settings) -> str:
    opening = prepared_reset(wanted, clock=SystemClock(), token=None, consent=Consent())
    async with opening as prepared:
        await prepared.carry_out()
        return prepared.before


def wrong(shop: Shop, *, kept: Sequence[str] = ()) -> list[str]:
    """How SQL differs from the container, but for rows of these carts that are there still."""
    forgiven = {(name, "1") for name in kept}
    with psycopg.connect(shop.url, autocommit=True) as connection:
        return differences(shop.carts, connection, trade=CART_LINES, forgiven=forgiven)


async def test_a_restore_reads_again_what_was_changed_since_and_nothing_else(copied: Shop) -> None:
    to = await saved(copied.settings())
    for number in range(5):
        copied.put(number, quantity=2)
    copied.put(5, ttl=3600)
    assert await copied.delivered() == 6
    assert await go_back(copied.settings(), to) == 4
    assert await copied.delivered() == 6
    assert await copied.delivered() == 0
    assert wrong(copied) == []


async def test_a_reset_that_was_a_mistake_is_undone_before_it_has_read_anything_again(
    copied: Shop,
) -> None:
    copied.put(3, quantity=2)
    to = await bookmarks.find_snapshot(copied.settings(), await reset(copied.settings()))
    assert to is not None
    assert await go_back(copied.settings(), to) == 4
    assert await copied.delivered() == 1
    assert wrong(copied) == []


async def test_a_restore_sweeps_nothing_away_and_a_later_replay_does(copied: Shop) -> None:
    """Most rows lie behind the position: that the feed does not bring them says nothing."""
    to = await saved(copied.settings())
    copied.put(1, quantity=2)
    copied.carts.delete("1", "c7")
    await copied.delivered()
    await go_back(copied.settings(), to)
    assert await copied.delivered() == 1
    with psycopg.connect(copied.url) as connection:
        found = connection.execute("SELECT count(*) FROM carts.cart_items").fetchone()
    assert found == (CARTS,)  # c7 too: nobody has asked for it
    assert wrong(copied, kept=["c7"]) == []
    await reset(copied.settings())
    await copied.delivered()
    assert wrong(copied) == []


async def test_ranges_that_were_split_and_merged_since_are_cut_anew(copied: Shop) -> None:
    to = await saved(copied.settings())
    carts = copied.carts
    first, *_, last_but_one, last = (partition.range_id for partition in carts.partitions())
    carts.split(first)
    carts.merge([last_but_one, last])
    for number in range(CARTS):
        copied.put(number, quantity=3)
    assert await copied.delivered() == CARTS
    assert await go_back(copied.settings(), to) == 5
    # A merge noticed once more may bring what was read before it; nothing is left out.
    assert await copied.delivered() >= CARTS
    assert wrong(copied) == []


async def test_leases_that_were_deleted_are_made_again_with_their_bookmarks(copied: Shop) -> None:
    to = await saved(copied.settings())
    copied.put(1, quantity=2)
    copied.emulator.engine.delete_container("acme-webstore", "lease")
    assert await go_back(copied.settings(), to) == 4
    assert await copied.delivered() == 1
    assert wrong(copied) == []


async def test_emptying_the_lease_container_by_hand_replays_also_after_a_restore(
    copied: Shop,
) -> None:
    await go_back(copied.settings(), await saved(copied.settings()))
    copied.carts.delete("1", "c7")
    copied.emulator.engine.delete_container("acme-webstore", "lease")
    assert await copied.delivered() == CARTS - 1
    assert wrong(copied) == []  # a replay, so it was swept


async def test_a_restore_that_dies_before_the_leases_are_written_counts_all_the_same(
    copied: Shop,
) -> None:
    to = await saved(copied.settings())
    copied.put(1, quantity=2)
    await copied.delivered()
    await control(copied.emulator, "faults", {"operation": "replace_item", "status": 503})
    with pytest.raises(LeaseStoreUnavailable):
        await go_back(copied.settings(), to)
    await control(copied.emulator, "faults", method="DELETE")
    assert await copied.delivered() == 1


async def test_a_bookmark_put_back_outlives_another_start_from(shop: Shop) -> None:
    """One that was only anchored would begin at the new START_FROM, not where a person put it."""
    wanted = shop.settings(start_from="now")
    shop.open(CARTS)
    assert await delivered(wanted) == 0
    await go_back(wanted, await saved(wanted))
    shop.put(1, quantity=2)
    assert await shop.delivered(start_from="beginning") == 1


async def test_a_reset_to_a_time_reads_again_what_was_changed_since(shop: Shop) -> None:
    await control(shop.emulator, "clock", {"offset_seconds": -7200})
    shop.open(CARTS)
    await control(shop.emulator, "clock", {"offset_seconds": 0})
    shop.put(1, quantity=2)
    shop.put(2, quantity=2)
    assert await shop.delivered() == CARTS
    assert await go_back(shop.settings(), datetime.now(UTC) - timedelta(hours=1)) == 4
    assert await shop.delivered() == 2
    tokens = [p.range_id for p in shop.carts.partitions()]
    one = [
        await go_back(shop.settings(), datetime.now(UTC) - timedelta(hours=3), token=token)
        for token in tokens[:1]
    ]
    assert one == [1]
    assert 0 < await shop.delivered() < CARTS
    assert wrong(shop) == []


async def test_a_reset_to_a_time_is_refused_where_the_copy_has_not_come_so_far(shop: Shop) -> None:
    shop.open(CARTS)
    with pytest.raises(ConfigurationError, match="nothing is copied yet"):
        await go_back(shop.settings(), datetime.now(UTC))
    await shop.delivered()
    shop.put(1, quantity=2)
    shop.put(1, quantity=3)
    with pytest.raises(ConfigurationError, match="nothing was moved"):
        await go_back(shop.settings(), datetime.now(UTC) + timedelta(hours=1))
    assert await shop.delivered() == 1


async def test_a_snapshot_of_something_else_is_refused(copied: Shop) -> None:
    to = await saved(copied.settings())
    elsewhere = replace(to, target_id="another", target_name="there")
    with pytest.raises(ConfigurationError, match="saved for another database, another there"):
        await go_back(copied.settings(), elsewhere, from_file=True)
    edited = replace(to, positions=(replace(to.positions[0], lsn=0), *to.positions[1:]))
    with pytest.raises(ConfigurationError, match="it was changed"):
        await go_back(copied.settings(), edited, from_file=True)
    with pytest.raises(ConfigurationError, match=r"container with _rid old .*acme-webstore/cart"):
        await go_back(copied.settings(), replace(to, container_rid="old"))
    copied.open(CARTS, container="other")
    with pytest.raises(OtherSource):
        await go_back(copied.settings(cosmos_container="other"), to)
    copied.emulator.engine.delete_database("acme-webstore")
    copied.open(CARTS)
    with pytest.raises(SourceRecreated):
        await go_back(copied.settings(), to)
    await delivered_after_following(copied.settings())
    with pytest.raises(ConfigurationError, match="they say nothing of it"):
        await go_back(copied.settings(), to)
    assert wrong(copied) == []


async def delivered_after_following(wanted: Settings) -> int:
    consent = Consent(new_source=True)
    opening = prepared_reset(wanted, clock=SystemClock(), token=None, consent=consent)
    async with opening as prepared:
        await prepared.carry_out()
    return await delivered(wanted)


async def test_bookmarks_are_those_of_the_live_generation(copied: Shop) -> None:
    async with Connections(ConnectionOptions(url=copied.url)) as connections:
        made = await generations.create(
            connections,
            CARTS_DEFINITION,
            who="me",
            why=None,
            source=FillSource.FEED,
            processor_name="projector",
            state=GenerationState.FOLLOWING,
        )
    rid = copied.carts.rid
    options = ConnectionOptions(url=copied.url, control=made.record.control)
    async with Connections(options) as connections:
        sink = PostgresSink(connections, generation=made.generation)
        grant = await sink.open(claim(rid=rid))
        await sink.begin(grant, Beginning(position=position(900)))
    with psycopg.connect(copied.url) as connection:
        for number, state in ((1, "former"), (2, "live")):
            connection.execute(
                "UPDATE projector.generations SET state = %s WHERE id = %s", [state, number]
            )
    taken = await saved(copied.settings())
    assert [position.lsn for position in taken.positions] == [900]
    assert await bookmarks.live_leases(copied.settings()) == "projector@g2"
    # Its leases were never made: they are, with their bookmarks; those of the former one stay.
    assert await go_back(copied.settings(), taken) == 4
    found = await commands.list_leases(copied.settings(), clock=SystemClock())
    assert [lease.continuation for lease in found] == ['"900"'] * 4
    with psycopg.connect(copied.url) as connection:
        connection.execute("UPDATE projector.generations SET state = 'retired' WHERE id = 2")
        connection.execute("UPDATE projector.generations SET state = 'live' WHERE id = 1")
    found = await commands.list_leases(copied.settings(), clock=SystemClock())
    assert '"900"' not in {lease.continuation for lease in found}
