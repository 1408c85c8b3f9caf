"""The way a newcomer walks through the change feed, step by step and in this order.

Real SDK over HTTP, real commands as processes, real PostgreSQL.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.acceptance.shop import Shop
from tests.acceptance.support import (
    CommandLine,
    Finished,
    Running,
    documents_of,
    until,
    until_equal,
)

SOON_SECONDS = 20.0
RANGES_READ = re.compile(r"(?:event=range_(?:resumed|started_over)[\s\S]*){4}")
CARTS = 500


@dataclass(kw_only=True)
class Walk:
    """The walker's memory between the steps."""

    shop: Shop
    command_line: CommandLine
    pro: dict[str, Any] = field(default_factory=dict)
    book: dict[str, Any] = field(default_factory=dict)

    def run_until_caught_up(self) -> Finished:
        """Starts a host, lets it read everything, and sees it end by itself."""
        finished = self.command_line.run("run", "--until-caught-up")
        assert finished.code == 0, finished.stderr
        return finished

    def step_01_create_the_containers(self) -> None:
        self.shop.create_database()
        assert self.shop.carts.read()["defaultTtl"] == -1
        assert self.shop.leases.read()["partitionKey"]["paths"] == ["/id"]

    def step_02_create_a_document(self) -> None:
        self.pro = self.shop.add("123", "Surface Pro", 2)
        assert self.shop.query("SELECT c.id, c.cartId, c.item, c.quantity FROM c") == [self.pro]

    def step_03_from_now_on_nothing_is_projected(self) -> None:
        with self.command_line.with_settings(START_FROM="now").running("run") as host:
            until_equal(self.shop.bookmarked, expected=True)
            finished = host.stop()
        assert finished.code == 0, finished.stderr
        assert finished.summary["delivered"] == 0
        assert self.shop.lines() == []

    def step_04_from_the_beginning_the_document_arrives(self) -> None:
        with self.command_line.with_settings(START_FROM="beginning").running("run") as host:
            until_equal(self.shop.totals, (1, Decimal(2)))
            assert host.stop().summary["delivered"] == 1

    def step_05_the_bookmark_wins(self) -> None:
        assert self.run_until_caught_up().summary["delivered"] == 0

    def step_06_without_bookmarks_everything_is_replayed(self) -> None:
        before = self.shop.lines()
        self.shop.recreate_leases()
        summary = self.run_until_caught_up().summary
        assert (summary["delivered"], summary["unchanged"]) == (1, 1)
        assert self.shop.lines() == before
        assert self.shop.totals() == (1, Decimal(2))

    def step_07_a_second_document_is_seen_at_once(self) -> None:
        with self.command_line.running("run") as host:
            until_reading(host)
            self.book = self.shop.add("123", "Surface Book", 8)
            until_equal(self.shop.totals, (2, Decimal(10)), seconds=SOON_SECONDS)
            assert host.stop().code == 0

    def step_08_a_replaced_quantity_changes_the_total(self) -> None:
        self.shop.recreate_leases()
        with self.command_line.running("run") as host:
            until_equal(self.shop.bookmarked, expected=True)
            self.pro = self.shop.replace(self.pro, quantity=3)
            until_equal(self.shop.totals, (2, Decimal(11)), seconds=SOON_SECONDS)
            assert host.stop().code == 0

    def step_09_only_newest_versions_are_delivered(self) -> None:
        self.shop.recreate_leases()
        assert self.run_until_caught_up().summary["delivered"] == 2
        assert self.shop.totals() == (2, Decimal(11))

    def step_10_an_outright_delete_is_not_in_the_feed(self) -> None:
        with self.command_line.running("run") as host:
            until_equal(self.shop.bookmarked, expected=True)
            self.shop.delete(self.book)
            # A change after it, in the same range, shows that the feed has moved past the delete.
            other = self.shop.add("123", "Arc Mouse", 1)
            until(self.shop.lines, lambda lines: any(line[1] == other["id"] for line in lines))
            assert ("123", self.book["id"]) in {line[:2] for line in self.shop.lines()}
            self.shop.replace(other, ttl=300)
            until_equal(self.shop.totals, (2, Decimal(11)), seconds=SOON_SECONDS)
            self.shop.delete(other)
            self.shop.carts.create_item(self.book)
            assert host.stop().code == 0

    def step_11_a_soft_delete_removes_the_row_at_once(self) -> None:
        with self.command_line.running("run") as host:
            until_reading(host)  # or the document may be gone before it is read
            self.shop.replace(self.book, ttl=3)
            until_equal(self.shop.totals, (1, Decimal(3)), seconds=SOON_SECONDS)
            until_equal(lambda: self.shop.query("SELECT c.id FROM c"), [{"id": self.pro["id"]}])
            assert host.stop().code == 0

    def step_12_a_replay_delivers_what_is_left(self) -> None:
        self.shop.recreate_leases()
        assert self.run_until_caught_up().summary["delivered"] == 1
        assert self.shop.lines() == [("123", self.pro["id"], "Surface Pro", 3)]
        assert self.shop.totals() == (1, Decimal(3))


def until_reading(host: Running) -> None:
    host.says(RANGES_READ.pattern)


def test_the_walkthrough_in_its_order(shop: Shop, command_line: CommandLine) -> None:
    walk = Walk(shop=shop, command_line=command_line)
    for name in sorted(name for name in dir(Walk) if name.startswith("step_")):
        getattr(walk, name)()


def expected_lines(shop: Shop) -> list[tuple[str, str, str, int]]:
    documents = documents_of(shop.query("SELECT * FROM c"))
    lines = [(d["cartId"], d["id"], d["item"], d["quantity"]) for d in documents if "ttl" not in d]
    return sorted(lines)


def test_five_hundred_carts_over_four_partitions_equal_the_container(
    shop: Shop, command_line: CommandLine
) -> None:
    shop.create_database()
    chance = random.Random(7)
    lines = [shop.add(f"cart-{number:03d}", "Surface Pro", 1) for number in range(CARTS)]
    with command_line.running("run") as host:
        until_equal(lambda: len(shop.lines()), CARTS)
        assert len(shop.lease_documents()) == 4
        seen = watch_quantities(shop, lines[0])
        for line in chance.sample(lines[1:], 200):
            shop.replace(line, quantity=chance.randint(2, 9))
        for line in chance.sample(lines[1:], 50):
            shop.replace(line, quantity=0, ttl=300)
        until_equal(shop.lines, expected_lines(shop))
        assert host.stop().code == 0
    assert seen == sorted(seen)
    shop.recreate_leases()
    assert command_line.run("run", "--until-caught-up").summary["upserted"] == 0
    assert shop.lines() == expected_lines(shop)
    assert shop.rows(
        "SELECT sum(line_count), sum(total_quantity) FROM carts.cart_totals"
    ) == shop.rows("SELECT count(*), sum(quantity) FROM carts.cart_items")


def watch_quantities(shop: Shop, line: dict[str, Any]) -> list[Decimal]:
    """Counts one line up and returns every quantity that SQL ever showed."""
    seen: list[Decimal] = []

    def look() -> Decimal:
        seen.extend(row[3] for row in shop.lines() if row[1] == line["id"])
        return seen[-1]

    for quantity in range(2, 12):
        shop.replace(line, quantity=quantity)
        look()
    until_equal(look, Decimal(11))
    return seen
