"""The page on backup and restore, typed as it stands: its blocks, in its order, on a shop that goes on."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import psycopg

from projector.postgres.embedded_programs import find_programs
from tests.acceptance.shop import Shop
from tests.acceptance.support import CommandLine
from tests.fixtures.postgres import new_database

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "backup-and-restore.md"
ROLE_IS_THERE = 1
"""The line of the restore that is left out where the server has the role already."""


def blocks(language: str, page: Path = PAGE) -> list[list[str]]:
    text = page.read_text("utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in found]


def typed(lines: list[str], folder: Path, **environment: str) -> None:
    programs = find_programs(folder, lambda _line: None).folder
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    for line in lines:
        command = ["/bin/sh", "-ec", line]
        subprocess.run(
            command, cwd=folder, check=True, env={**os.environ, **environment, "PATH": path}
        )


def test_a_restored_backup_is_brought_up_to_date_by_what_the_page_says(
    shop: Shop,
    command_line: CommandLine,
    tmp_path: Path,
    postgres_server_url: str,
) -> None:
    backup, restore = blocks("sh")
    (commands,) = blocks("console")
    shop.create_database()
    for number in range(20):
        shop.add("cart-1", f"item {number}", number + 1)
    gone = shop.add("cart-2", "deleted outright", 7)
    assert command_line.run("run", "--until-caught-up").summary["delivered"] == 21

    old = command_line.settings["DATABASE_URL"]
    typed(backup, tmp_path, PROJECTOR_DATABASE_URL=old)
    shop.add("cart-2", "after the backup", 5)
    shop.delete(gone)
    assert command_line.run("run", "--until-caught-up").summary["delivered"] == 1

    with new_database(postgres_server_url, template="template0") as new:
        typed(restore[ROLE_IS_THERE:], tmp_path, NEW=new)
        restored = command_line.with_settings(DATABASE_URL=new)
        run, verify = (restored.run(*line.split()[1:]) for line in commands)

        assert run.summary["delivered"] == 1, "what came after the backup, and nothing else"
        assert "leases_adopted" in run.stderr
        assert "range_resumed" in run.stderr
        assert "1 extra" in verify.stdout, verify.stdout + verify.stderr
        with psycopg.connect(new) as sql:
            query = "SELECT item FROM carts.cart_items WHERE cart_id = 'cart-2'"
            assert sql.execute(query).fetchall() == [("after the backup",)]
            count = sql.execute("SELECT count(*) FROM carts.cart_items").fetchone()
            assert count == (21,)
