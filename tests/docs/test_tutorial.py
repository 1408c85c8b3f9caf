"""The tutorial's blocks are run as they stand; only the port is another one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.support import CommandLine, EmulatorProcess, emulator_process

pytestmark = [pytest.mark.acceptance, pytest.mark.postgres, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
ENDPOINT = "http://127.0.0.1:8081/"


def blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shop(emulator: EmulatorProcess, folder: Path, source: str) -> None:
    script = folder / "shop.py"
    script.write_text(source.replace(ENDPOINT, emulator.endpoint))
    subprocess.run([sys.executable, str(script)], check=True, timeout=300)


def test_the_tutorial_works_as_it_is_written(tmp_path: Path, database_url: str) -> None:
    create, soft_delete = blocks("python")
    exported = dict(re.findall(r"export PROJECTOR_(\w+)='?([^'\n]+)'?", "".join(blocks("console"))))
    assert set(exported) == {"COSMOS_ENDPOINT", "COSMOS_KEY"}
    with (
        emulator_process(tmp_path) as emulator,
        psycopg.connect(database_url, autocommit=True) as sql,
    ):
        settings = {
            **exported,
            "COSMOS_ENDPOINT": emulator.endpoint,
            "DATABASE_URL": database_url,
        }
        command_line = CommandLine(folder=tmp_path, settings=settings)

        shop(emulator, tmp_path, create)
        first = command_line.run("run", "--until-caught-up").stdout
        assert first.strip() in (ROOT / "docs" / "tutorial.md").read_text("utf-8")
        assert command_line.run("run", "--until-caught-up").summary["delivered"] == 0

        looks = re.findall(r"projector psql -c '(.*)'", "".join(blocks("console")))
        assert len(looks) == 4
        for query in looks:
            assert command_line.run("psql", "-At", "-c", query).code == 0

        changed = create.replace('"quantity": 2', '"quantity": 3')
        shop(emulator, tmp_path, changed)
        assert command_line.run("run", "--until-caught-up").summary["upserted"] == 1
        assert sql.execute("SELECT total_quantity FROM carts.cart_totals").fetchone() == (3,)

        shop(emulator, tmp_path, create + soft_delete)
        assert command_line.run("run", "--until-caught-up").summary["removed"] == 1
        assert sql.execute("SELECT count(*) FROM carts.cart_items").fetchone() == (0,)


def test_the_tutorial_names_the_emulators_own_endpoint_and_key(tmp_path: Path) -> None:
    with emulator_process(tmp_path) as emulator:
        text = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
        assert emulator.key in text
        assert ENDPOINT in text
