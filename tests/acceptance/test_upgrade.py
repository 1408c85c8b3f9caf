"""The page on upgrade and downgrade, typed as it stands, on a shop that goes on."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from alembic import command

from projector.postgres import migrate
from projector.postgres.schema import head
from tests.acceptance.later_release import one_step_more
from tests.acceptance.shop import Shop
from tests.acceptance.support import CommandLine, until_equal

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "upgrade.md"
FIRST_RELEASE = "0101"


def commands() -> list[list[list[str]]]:
    """The arguments of each command of each block, in the page's order."""
    found = re.findall(
        r"^```console\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return [[line.split()[1:] for line in block.splitlines()] for block in found]


def test_a_release_is_upgraded_and_gone_back_from_as_the_page_says(
    shop: Shop, command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = one_step_more(tmp_path / "later")
    monkeypatch.setenv("LATER_MIGRATIONS", str(tmp_path / "later"))
    later = command_line.of_release("tests.acceptance.later_release")
    (current, upgrade), afterwards, (current_again,) = commands()
    shop.create_database()
    shop.add("cart-1", "before", 1)

    def items() -> list[str]:
        with psycopg.connect(command_line.settings["DATABASE_URL"]) as sql:
            rows = sql.execute("SELECT item FROM carts.cart_items ORDER BY item").fetchall()
        return [item for (item,) in rows]

    with command_line.running("run") as host:
        until_equal(items, ["before"])
        assert f"at {head()}, the newest is {number}" in later.run(*current).stdout
        assert "projector db upgrade" in later.run("run", "--no-migrate").error_line
        assert f"the schema is at {number}" in later.run(*upgrade).stdout
        shop.add("cart-1", "meanwhile", 1)
        until_equal(items, ["before", "meanwhile"])
        assert host.stop().code == 0

    with later.running("run", "--no-migrate") as host:
        host.says("lease_acquired")
        shop.add("cart-1", "thereafter", 1)
        until_equal(items, ["before", "meanwhile", "thereafter"])
        for arguments in afterwards:
            told = later.run(*arguments)
            assert told.code == 0, told
        stopped = host.stop()
    assert stopped.summary["delivered"] == 1, "nothing is read twice"

    assert f"at {number}, the newest is {head()}" in command_line.run(*current_again).stdout
    refused = command_line.run("run")
    assert refused.code == 1
    assert "newer than this program" in refused.error_line
    assert f"schema brought from {head()} to {number}" in later.run("timeline").stdout


def test_a_database_of_the_first_release_is_brought_up_to_date_with_all_that_it_holds(
    shop: Shop, command_line: CommandLine
) -> None:
    url = command_line.settings["DATABASE_URL"]
    shop.create_database()
    for number in range(5):
        shop.add("cart-1", f"item {number}", 1)
    assert command_line.run("run", "--until-caught-up").summary["delivered"] == 5
    with migrate._alone(url) as connection:
        migrate._run(command.downgrade, connection, FIRST_RELEASE)
    shop.add("cart-1", "one more", 1)
    assert command_line.run("run", "--until-caught-up").summary["delivered"] == 1
    verified = command_line.run("verify")
    assert verified.code == 0, verified
    assert "6 rows" in verified.stdout
