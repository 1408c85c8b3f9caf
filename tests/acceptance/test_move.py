"""The page on moving, typed as it stands: by logical replication, to another server, while a shop goes on."""

from __future__ import annotations

from pathlib import Path

import psycopg

from projector.postgres.embedded import EmbeddedPostgres
from tests.acceptance import test_backup
from tests.acceptance.shop import Shop
from tests.acceptance.support import CommandLine, until, until_equal
from tests.fixtures.postgres import SERVER_OPTIONS, new_database, quick_folder

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "move-the-database.md"
COUNT = "SELECT count(*) FROM carts.cart_items"
BEHIND = """
SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"""
COPIED = "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel"


def test_the_copy_is_moved_by_logical_replication_with_a_stop_of_seconds(
    shop: Shop,
    command_line: CommandLine,
    tmp_path: Path,
    postgres_server_url: str,
) -> None:
    _, (role, *move) = test_backup.blocks("sh", page=PAGE)
    assert "carts_reader" in role, "the server has the role already"
    shop.create_database()
    for number in range(20):
        shop.add("cart-1", f"item {number}", 1)
    options = {**SERVER_OPTIONS, "wal_level": "logical"}
    with (
        quick_folder() as folder,
        EmbeddedPostgres(folder, options=options) as server,
        new_database(postgres_server_url, template="template0") as new,
    ):
        old = server.url
        hosts = command_line.with_settings(DATABASE_URL=old)
        with hosts.running("run") as host, psycopg.connect(new, autocommit=True) as target:
            host.says("caught_up|replay_swept")
            until_equal(lambda: counted(old), 20)
            test_backup.typed(move, tmp_path, OLD=old, NEW=new)
            until(lambda: target.execute(COPIED).fetchone(), lambda row: row == (True,))
            shop.add("cart-2", "while it moves", 1)
            until_equal(lambda: counted(new), 21)
            assert host.stop().code == 0
            with psycopg.connect(old, autocommit=True) as source:
                until(lambda: source.execute(BEHIND).fetchone(), lambda row: row == (1,))
            target.execute("DROP SUBSCRIPTION projector")
        moved = command_line.with_settings(DATABASE_URL=new)
        shop.add("cart-2", "after it", 1)
        run = moved.run("run", "--until-caught-up")
        assert run.summary["delivered"] == 1, run
        assert "leases_adopted" in run.stderr
        assert moved.run("verify").code == 0


def counted(url: str) -> int | None:
    with psycopg.connect(url) as sql:
        try:
            row = sql.execute(COUNT).fetchone()
        except psycopg.errors.UndefinedTable:
            return None
    return None if row is None else int(row[0])
