"""A person saves bookmarks and puts them back while a host runs, which is never told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.acceptance.shop import Shop
from tests.acceptance.support import CommandLine, until_equal

PLACES = "SELECT min_epk, lsn FROM projector.ranges WHERE retired_at IS NULL ORDER BY 1"


def test_a_running_host_reads_on_from_bookmarks_that_are_put_back(
    shop: Shop, command_line: CommandLine, tmp_path: Path
) -> None:
    shop.create_database()
    shop.add("123", "Surface Pro", 2)
    with command_line.with_settings(LEASE_ACQUIRE_SECONDS="1").running("run") as host:
        until_equal(shop.totals, (1, Decimal(2)))
        until_equal(shop.bookmarked, expected=True)
        kept = str(tmp_path / "before.json")
        assert command_line.run("leases", "snapshot", "--out", kept).code == 0
        shop.add("123", "Pen", 1)
        until_equal(shop.totals, (2, Decimal(3)))
        newest = shop.rows(PLACES)
        assert command_line.run("leases", "restore", kept, "--yes").code == 0
        until_equal(lambda: shop.rows(PLACES), newest)
        assert shop.totals() == (2, Decimal(3))
        assert host.stop().summary["delivered"] == 3  # the pen twice
    assert command_line.run("verify").code == 0
