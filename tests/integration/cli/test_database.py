"""`projector db current`, as it is typed."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from projector.postgres import migrate


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


def upgrade(url: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "projector", "db", "upgrade"],
        cwd=folder,
        env={
            "PROJECTOR_DATABASE_URL": url,
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "PATH": "",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def nobody(empty_database_url: str) -> Iterator[tuple[str, str]]:
    """A role that may connect and no more: its URL, and its name."""
    name = f"nobody_{secrets.token_hex(4)}"
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'".encode())
        try:
            yield make_conninfo(empty_database_url, user=name, password="x"), name
        finally:
            admin.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}".encode())


def test_an_upgrade_without_rights_says_which_and_how_to_grant_them(
    nobody: tuple[str, str], empty_database_url: str, tmp_path: Path
) -> None:
    url, name = nobody
    done = upgrade(url, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert re.search(rf"GRANT CREATE ON DATABASE \S+ TO \"?{name}", line), line
    migrate.upgrade(empty_database_url)
    done = upgrade(url, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert re.search(rf"belongs to (\w+): .*GRANT \1 TO {name}", line), line


def test_an_upgrade_that_may_make_no_role_says_what_to_type(
    nobody: tuple[str, str], empty_database_url: str, tmp_path: Path
) -> None:
    url, name = nobody
    reader = f"reader_{secrets.token_hex(4)}"
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        admin.execute(f"GRANT CREATE ON DATABASE {admin.info.dbname} TO {name}".encode())
    for _ in range(2):
        done = upgrade(url, tmp_path, PROJECTOR_READER_ROLE=reader)
        assert done.returncode == 0
        [told] = [line for line in done.stderr.splitlines() if reader in line]
        assert f"{name} may not create it" in told
        assert f"CREATE ROLE {reader} NOLOGIN; GRANT USAGE ON SCHEMA carts TO {reader}" in told
