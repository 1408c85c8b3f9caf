"""Several hosts as real processes under load: killed, stopped, continued, ended; split and merged.

At the end SQL equals the container, every total a recount, and no watcher saw a row go back or a
host move a place that was not its own.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.hosts_town import WATCHERS, Shoppers, Town
from tests.acceptance.shop import DATABASE, Shop
from tests.acceptance.support import CommandLine, emulator_process, until

PARTITIONS = 8


@pytest.fixture
def town(tmp_path: Path, database_url: str) -> Iterator[Town]:
    """Eight partitions, nobody reads them yet."""
    with ExitStack() as stack:
        emulator = stack.enter_context(emulator_process(tmp_path, "--partitions", str(PARTITIONS)))
        shop = stack.enter_context(Shop.opened(emulator, database_url))
        shop.create_database()
        shop.sql.execute(WATCHERS.encode())
        settings = {
            "COSMOS_ENDPOINT": emulator.endpoint,
            "COSMOS_KEY": emulator.key,
            "DATABASE_URL": database_url,
        }
        yield Town(
            shop=shop,
            command_line=CommandLine(folder=tmp_path, settings=settings),
            stack=stack,
        )


@contextmanager
def shopping(town: Town) -> Iterator[Shoppers]:
    shoppers = Shoppers(
        endpoint=town.shop.emulator.endpoint,
        key=town.shop.emulator.key,
        chance=random.Random(5),
    )
    with shoppers.shopping():
        yield shoppers


def until_more_is_written(town: Town, shoppers: Shoppers) -> None:
    """Waits until what is written from now on has reached SQL."""
    goal = shoppers.written + 20
    until(lambda: shoppers.written, lambda written: written >= goal)
    line = town.shop.add("marker", "marker", 1)
    until(town.shop.lines, lambda lines: any(row[1] == line["id"] for row in lines))


def ended_well(town: Town, *names: str) -> None:
    """Everything is as it should be, and the hosts end when they are asked to."""
    until(town.differences, lambda wrong: not wrong)
    assert town.broken_rules() == []
    assert town.shop.rows("SELECT * FROM projector.quarantine") == []
    for name in names:
        town.signal(name, signal.SIGTERM)
    for name in names:
        finished = town.hosts[name].finish()
        assert finished.code == 0, finished.stderr
    assert set(town.owners().values()) == {None}


def test_hosts_are_killed_stopped_and_ended_while_partitions_split_and_merge(town: Town) -> None:
    for name in ("anna", "bert", "carl"):
        town.start(name)
    town.until_covered("anna", "bert", "carl")
    until(town.owners, lambda owners: len(set(owners.values())) == 3)
    with shopping(town) as shoppers:
        until_more_is_written(town, shoppers)

        town.kill("anna")
        town.until_covered("bert", "carl")

        left = town.control("split", {"range": "0"})["children"]
        town.control("split", {"range": "5"})
        town.start("dora")
        until(town.owners, lambda owners: len(owners) == PARTITIONS + 2)
        until(town.owners, lambda owners: set(owners.values()) == {"bert", "carl", "dora"})

        town.signal("bert", signal.SIGSTOP)
        town.until_covered("carl", "dora")
        until_more_is_written(town, shoppers)
        town.control("merge", {"ranges": left})
        town.signal("bert", signal.SIGCONT)
        town.until_covered("bert", "carl", "dora")
        until(town.owners, lambda owners: "bert" in owners.values())
        until_more_is_written(town, shoppers)

        town.signal("carl", signal.SIGTERM)
        town.until_covered("bert", "dora")
        assert town.hosts.pop("carl").finish().code == 0
        until_more_is_written(town, shoppers)
        shoppers.delete_outright = False
        reset = town.command_line.run("leases", "reset", "--yes")
        assert reset.code == 0, reset.stderr
        town.until_covered("bert", "dora")
    ended_well(town, "bert", "dora")


def test_leases_are_deleted_under_running_hosts(town: Town) -> None:
    for name in ("anna", "bert", "carl"):
        town.start(name)
    town.until_covered("anna", "bert", "carl")
    with shopping(town) as shoppers:
        shoppers.delete_outright = False
        until_more_is_written(town, shoppers)
        for lease in town.shop.lease_documents()[::3]:
            town.shop.leases.delete_item(lease["id"], lease["id"])
        town.until_covered("anna", "bert", "carl")
        until_more_is_written(town, shoppers)
        town.shop.database.delete_container("lease")
        town.until_covered("anna", "bert", "carl")
        until_more_is_written(town, shoppers)
    ended_well(town, "anna", "bert", "carl")


HELD_ROW = "SELECT 1 FROM projector_g1.cart_items WHERE cart_id = 'held' FOR UPDATE"
NO_REPORTS = "LOCK TABLE projector.range_reports IN EXCLUSIVE MODE"
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'projector anna' AND wait_event_type = 'Lock'"""
OPEN = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'projector anna' AND state LIKE 'idle in transaction%'"""
SWEPT = "SELECT count(*) FROM projector.replays WHERE phase = 'done'"
LONGER = {"LEASE_EXPIRATION_SECONDS": "9"}


@contextmanager
def locked(town: Town, database_url: str, statement: str) -> Iterator[None]:
    """Somebody else's transaction that holds a lock until the block ends."""
    with Shop.opened(town.shop.emulator, database_url) as other:
        other.sql.autocommit = False
        other.sql.execute(statement.encode())
        yield
        other.sql.rollback()


def test_a_host_stopped_inside_a_transaction_neither_blocks_its_next_owner_nor_writes_again(
    town: Town, database_url: str
) -> None:
    held = town.shop.add("held", "pro", 1)
    town.start("anna", **LONGER)
    until(lambda: town.shop.rows(SWEPT), lambda found: found == [(PARTITIONS,)])
    with locked(town, database_url, HELD_ROW):
        # A rejected neighbour makes the batch a transaction of several statements.
        town.shop.add("held", "book", "none")
        town.shop.replace(held, quantity=2)
        until(lambda: town.shop.rows(WAITING), lambda found: found != [(0,)])
        town.signal("anna", signal.SIGSTOP)
    until(lambda: town.shop.rows(OPEN), lambda found: found == [(1,)])
    town.start("bert", **LONGER)
    town.until_covered("bert", seconds=180)
    until(town.shop.lines, lambda lines: [row[3] for row in lines] == [2])
    assert town.shop.rows(OPEN) == [(0,)]
    town.shop.replace(held, quantity=3)
    until(town.shop.lines, lambda lines: [row[3] for row in lines] == [3])
    # Neither her leases nor the answer to a report can tell her: only the fence is left.
    town.fault({"path_prefix": f"/dbs/{DATABASE}/colls/lease", "status": 449})
    with locked(town, database_url, NO_REPORTS):
        town.signal("anna", signal.SIGCONT)
        town.hosts["anna"].says("FencedOut")
    town.heal()
    until(town.owners, lambda owners: set(owners.values()) == {"anna", "bert"}, seconds=180)
    assert town.broken_rules() == []
    assert [row[3] for row in town.shop.lines()] == [3]
    assert town.shop.rows("SELECT count(*) FROM projector.quarantine") == [(1,)]
    for name in ("anna", "bert"):
        assert town.hosts[name].stop().code == 0
