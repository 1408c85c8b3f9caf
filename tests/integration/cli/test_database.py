"""`projector db current`, as it is typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest


@pytest.mark.parametrize(
    ("revision", "told"),
    [
        ("0012", "nothing leads on from it; type: DROP SCHEMA"),
        ("9999", "install the newer program"),
    ],
)
def test_a_schema_that_leads_nowhere_is_told(
    database_url: str, tmp_path: Path, revision: str, told: str
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE projector.alembic_version SET version_num = %s", [revision])
    done = subprocess.run(
        [sys.executable, "-m", "projector", "db", "current"],
        cwd=tmp_path,
        env={
            "PROJECTOR_DATABASE_URL": database_url,
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "PATH": "",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert f"the schema is at {revision}" in done.stdout
    assert told in done.stdout
