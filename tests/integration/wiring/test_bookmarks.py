"""Snapshots, restores and resets to a time in the test's own process, against the emulator and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cosmos_emulator import EmulatorServer
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
from projector.wiring.service import Service
from tests.fixtures.emulator import control
from tests.integration.postgres.carts import claim, position
from tests.simulation.oracle import differences
from tests.simulation.trade import CART_LINES

pytestmark = pytest.mark.postgres

CARTS = 20


def settings(emulator: EmulatorServer, url: str, **others: Any) -> Settings:
    return Settings.model_validate(
        {
            "cosmos_endpoint": emulator.endpoint,
            "cosmos_key": emulator.key,
            "database_url": url,
            "web_port": 0,
            **others,
        }
    )


def open_shop(emulator: EmulatorServer, *, container: str = "cart", carts: int = CARTS) -> None:
    if container == "cart":
        emulator.engine.create_database("acme-webstore")
    emulator.engine.create_container(
        "acme-webstore",
        {
            "id": container,
            "partitionKey": {"paths": ["/cartId"], "kind": "Hash", "version": 2},
            "defaultTtl": -1,
        },
    )
    for number in range(carts):
        put(emulator, number, container=container)


def put(
    emulator: EmulatorServer, number: int, *, container: str = "cart", **changes: object
) -> None:
    emulator.engine.container("acme-webstore", container).upsert(
        {"id": "1", "cartId": f"c{number}", "item": "x", "quantity": 1, **changes}
    )


async def delivered(wanted: Settings) -> int:
    return (await Service(wanted).run(until_caught_up=True)).delivered


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


def wrong(emulator: EmulatorServer, url: str, *, kept: Sequence[str] = ()) -> list[str]:
    """How SQL differs from the container, but for rows of these carts that are there still."""
    with psycopg.connect(url, autocommit=True) as connection:
        return differences(
            emulator.engine.container("acme-webstore", "cart"),
            connection,
            trade=CART_LINES,
            forgiven={(name, "1") for name in kept},
        )


async def test_a_restore_reads_again_what_was_changed_since_and_nothing_else(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator)
    await delivered(wanted)
    to = await saved(wanted)
    for number in range(5):
        put(emulator, number, quantity=2)
    put(emulator, 5, ttl=3600)
    assert await delivered(wanted) == 6
    assert await go_back(wanted, to) == 4
    assert await delivered(wanted) == 6
    assert await delivered(wanted) == 0
    assert wrong(emulator, database_url) == []


async def test_a_reset_that_was_a_mistake_is_undone_before_it_has_read_anything_again(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator)
    await delivered(wanted)
    put(emulator, 3, quantity=2)
    to = await bookmarks.find_snapshot(wanted, await reset(wanted))
    assert to is not None
    assert await go_back(wanted, to) == 4
    assert await delivered(wanted) == 1
    assert wrong(emulator, database_url) == []


async def test_a_restore_sweeps_nothing_away_and_a_later_replay_does(
    emulator: EmulatorServer, database_url: str
) -> None:
    """Most rows lie behind the position: that the feed does not bring them says nothing."""
    wanted = settings(emulator, database_url)
    open_shop(emulator)
    await delivered(wanted)
    to = await saved(wanted)
    put(emulator, 1, quantity=2)
    emulator.engine.container("acme-webstore", "cart").delete("1", "c7")
    await delivered(wanted)
    await go_back(wanted, to)
    assert await delivered(wanted) == 1
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT count(*) FROM carts.cart_items").fetchone()
    assert found == (CARTS,)  # c7 too: nobody has asked for it
    assert wrong(emulator, database_url, kept=["c7"]) == []
    await reset(wanted)
    await delivered(wanted)
    assert wrong(emulator, database_url) == []


async def test_ranges_that_were_split_and_merged_since_are_cut_anew(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator)
    await delivered(wanted)
    to = await saved(wanted)
    carts = emulator.engine.container("acme-webstore", "cart")
    first, *_, last_but_one, last = (partition.range_id for partition in carts.partitions())
    carts.split(first)
    carts.merge([last_but_one, last])
    for number in range(CARTS):
        put(emulator, number, quantity=3)
    assert await delivered(wanted) == CARTS
    assert await go_back(wanted, to) == 5
    # A merge noticed once more may bring what was read before it; nothing is left out.
    assert await delivered(wanted) >= CARTS
    assert wrong(emulator, database_url) == []


async def test_leases_that_were_deleted_are_made_again_with_their_bookmarks(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator)
    await delivered(wanted)
    to = await saved(wanted)
    put(emulator, 1, quantity=2)
    emulator.engine.delete_container("acme-webstore", "lease")
    assert await go_back(wanted, to) == 4
    assert await delivered(wanted) == 1
    assert wrong(emulator, database_url) == []


async def test_emptying_the_lease_container_by_hand_replays_also_after_a_restore(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator)
    await delivered(wanted)
    await go_back(wanted, await saved(wanted))
    emulator.engine.container("acme-webstore", "cart").delete("1", "c7")
    emulator.engine.delete_container("acme-webstore", "lease")
    assert await delivered(wanted) == CARTS - 1
    assert wrong(emulator, database_url) == []  # a replay, so it was swept


async def test_a_restore_that_dies_before_the_leases_are_written_counts_all_the_same(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator)
    await delivered(wanted)
    to = await saved(wanted)
    put(emulator, 1, quantity=2)
    await delivered(wanted)
    await control(emulator, "faults", {"operation": "replace_item", "status": 503})
    with pytest.raises(LeaseStoreUnavailable):
        await go_back(wanted, to)
    await control(emulator, "faults", method="DELETE")
    assert await delivered(wanted) == 1


async def test_a_bookmark_put_back_outlives_another_start_from(
    emulator: EmulatorServer, database_url: str
) -> None:
    """One that was only anchored would begin at the new START_FROM, not where a person put it."""
    wanted = settings(emulator, database_url, start_from="now")
    open_shop(emulator)
    assert await delivered(wanted) == 0
    await go_back(wanted, await saved(wanted))
    put(emulator, 1, quantity=2)
    assert await delivered(settings(emulator, database_url, start_from="beginning")) == 1


async def test_a_reset_to_a_time_reads_again_what_was_changed_since(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    await control(emulator, "clock", {"offset_seconds": -7200})
    open_shop(emulator)
    await control(emulator, "clock", {"offset_seconds": 0})
    put(emulator, 1, quantity=2)
    put(emulator, 2, quantity=2)
    assert await delivered(wanted) == CARTS
    assert await go_back(wanted, datetime.now(UTC) - timedelta(hours=1)) == 4
    assert await delivered(wanted) == 2
    tokens = [p.range_id for p in emulator.engine.container("acme-webstore", "cart").partitions()]
    one = [
        await go_back(wanted, datetime.now(UTC) - timedelta(hours=3), token=token)
        for token in tokens[:1]
    ]
    assert one == [1]
    assert 0 < await delivered(wanted) < CARTS
    assert wrong(emulator, database_url) == []


async def test_a_reset_to_a_time_is_refused_where_the_copy_has_not_come_so_far(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator)
    with pytest.raises(ConfigurationError, match="nothing is copied yet"):
        await go_back(wanted, datetime.now(UTC))
    await delivered(wanted)
    put(emulator, 1, quantity=2)
    put(emulator, 1, quantity=3)
    with pytest.raises(ConfigurationError, match="nothing was moved"):
        await go_back(wanted, datetime.now(UTC) + timedelta(hours=1))
    assert await delivered(wanted) == 1


async def test_a_snapshot_of_something_else_is_refused(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator)
    await delivered(wanted)
    to = await saved(wanted)
    elsewhere = replace(to, target_id="another", target_name="there")
    with pytest.raises(ConfigurationError, match="saved for another database, another there"):
        await go_back(wanted, elsewhere, from_file=True)
    edited = replace(to, positions=(replace(to.positions[0], lsn=0), *to.positions[1:]))
    with pytest.raises(ConfigurationError, match="it was changed"):
        await go_back(wanted, edited, from_file=True)
    with pytest.raises(ConfigurationError, match=r"container with _rid old .*acme-webstore/cart"):
        await go_back(wanted, replace(to, container_rid="old"))
    open_shop(emulator, container="other")
    with pytest.raises(OtherSource):
        await go_back(settings(emulator, database_url, cosmos_container="other"), to)
    emulator.engine.delete_database("acme-webstore")
    open_shop(emulator)
    with pytest.raises(SourceRecreated):
        await go_back(wanted, to)
    await delivered_after_following(wanted)
    with pytest.raises(ConfigurationError, match="they say nothing of it"):
        await go_back(wanted, to)
    assert wrong(emulator, database_url) == []


async def delivered_after_following(wanted: Settings) -> int:
    consent = Consent(new_source=True)
    opening = prepared_reset(wanted, clock=SystemClock(), token=None, consent=consent)
    async with opening as prepared:
        await prepared.carry_out()
    return await delivered(wanted)


async def test_bookmarks_are_those_of_the_live_generation(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator)
    await delivered(wanted)
    async with Connections(ConnectionOptions(url=database_url)) as connections:
        made = await generations.create(
            connections,
            CARTS_DEFINITION,
            who="me",
            why=None,
            source=FillSource.FEED,
            processor_name="projector",
            state=GenerationState.FOLLOWING,
        )
    rid = emulator.engine.container("acme-webstore", "cart").rid
    options = ConnectionOptions(url=database_url, control=made.record.control)
    async with Connections(options) as connections:
        sink = PostgresSink(connections, generation=made.generation)
        grant = await sink.open(claim(rid=rid))
        await sink.begin(grant, Beginning(position=position(900)))
    with psycopg.connect(database_url) as connection:
        for number, state in ((1, "former"), (2, "live")):
            connection.execute(
                "UPDATE projector.generations SET state = %s WHERE id = %s", [state, number]
            )
    taken = await saved(wanted)
    assert [position.lsn for position in taken.positions] == [900]
    assert await bookmarks.live_leases(wanted) == "projector@g2"
    # Its leases were never made: they are, with their bookmarks; those of the former one stay.
    assert await go_back(wanted, taken) == 4
    found = await commands.list_leases(wanted, clock=SystemClock())
    assert [lease.continuation for lease in found] == ['"900"'] * 4
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE projector.generations SET state = 'retired' WHERE id = 2")
        connection.execute("UPDATE projector.generations SET state = 'live' WHERE id = 1")
    found = await commands.list_leases(wanted, clock=SystemClock())
    assert '"900"' not in {lease.continuation for lease in found}
