"""A rebuild on a disk that is really full: it says so and waits, the live generation goes on, room helps.

The disk is a small file system in memory, under a tablespace for new tables; whoever may not mount one skips.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from projector.operations import rebuild
from projector.postgres.embedded_programs import find_programs
from tests.fixtures.emulator import control
from tests.fixtures.postgres import database_name
from tests.integration.cosmos.support import COLLECTION
from tests.integration.rebuild.rebuilt import ANN, Rebuilt
from tests.integration.rebuild.support import lines
from tests.integration.verify.support import until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

SMALL, LARGE = "1280k", "64m"
LONG = "x" * 1500
ON_IT = "SELECT count(*) > 0 FROM pg_class WHERE reltablespace = %s::regtablespace"


class Disk:
    """A file system of a few kilobytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self, size: str, *, more: str = "") -> None:
        options = f"size={size}{more}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def disk(database_url: str, postgres_server_url: str) -> Iterator[Disk]:
    """Where new tables of the database go."""
    name = f"small_{secrets.token_hex(4)}"
    folder = Path(tempfile.mkdtemp(prefix="projector-disk-"))
    folder.chmod(0o755)
    made = Disk(folder)
    try:
        made.mount(SMALL)
    except (OSError, subprocess.CalledProcessError):
        folder.rmdir()
        pytest.skip("no file system can be mounted here")
    try:
        with psycopg.connect(postgres_server_url, autocommit=True) as server:
            tablespace = _tablespace(server, made, name)
            database = sql.Identifier(database_name(database_url))
            server.execute(
                sql.SQL("ALTER DATABASE {} SET default_tablespace = {}").format(
                    database, tablespace
                )
            )
            yield made
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
            server.execute(sql.SQL("DROP TABLESPACE {}").format(tablespace))
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 - wherever it is
        shutil.rmtree(folder)


def _tablespace(
    server: psycopg.Connection[tuple[object, ...]], disk: Disk, name: str
) -> sql.Identifier:
    row = server.execute("SELECT current_setting('data_directory')").fetchone()
    data = Path(str(row[0] if row else ""))
    if not data.exists():
        pytest.skip("the server is on another machine")
    account = find_programs(data, lambda _line: None).account
    place = disk.folder / "space"
    place.mkdir(mode=0o700)
    if account is not None:
        account.take(place)
    identifier = sql.Identifier(name)
    server.execute(
        sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(identifier, sql.Literal(str(place)))
    )
    return identifier


async def is_full(rebuilt: Rebuilt) -> bool:
    """Whether the rebuild says that it waits for room."""
    async with rebuilt.sides() as sides:
        record, *_ = await sides.records()
        look = await sides.look(record)
    return any("No space left on device" in (part.error or "") for part in look.parts)


async def test_a_full_disk_is_told_and_costs_the_live_one_nothing(
    rebuilt: Rebuilt, disk: Disk
) -> None:
    pair = rebuilt.pair
    documents = (one | {"note": LONG + one["note"]} for one in lines(400))
    body = "\n".join(map(json.dumps, documents)).encode()
    await control(pair.world.server, f"{COLLECTION}/bulk", body)
    await pair.drain()
    async with pair.host():
        await rebuilt.start()
        await until(lambda: is_full(rebuilt))
        await pair.line("meanwhile", "1")
        await until(lambda: copied(rebuilt, 401))
        async with rebuilt.sides() as sides:
            await rebuild.abort(sides, who=ANN)
        await until(lambda: pair.value("SELECT to_regnamespace('projector_g2') IS NULL"))

        made = await rebuilt.start()
        await until(lambda: is_full(rebuilt))
        disk.mount(LARGE, more=",remount")
        verdict = await rebuilt.judged(await rebuilt.filled(made.id))
        assert (verdict.open, verdict.against) == (True, [])
        assert await copied(rebuilt, 401)


async def copied(rebuilt: Rebuilt, rows: int) -> bool:
    """Whether readers see so many."""
    return bool(await rebuilt.value("SELECT count(*) FROM carts.cart_items") == rows)
