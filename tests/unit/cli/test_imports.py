"""Help, the version and a mistyped option answer at once: no driver is loaded for them."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "aiohttp",
    "alembic",
    "apscheduler",
    "azure",
    "msgspec",
    "psycopg",
    "pydantic_settings",
    "rich",
    "sqlalchemy",
    "structlog",
)
ANSWER = """
import sys
from projector.cli.app import run_line
code = run_line(sys.argv[1:])
print(*sorted(set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param("", 2, id="nothing"),
        pytest.param("--version", 0, id="version"),
        pytest.param("--help", 0, id="help"),
        pytest.param("run --help", 0, id="help of a command"),
        pytest.param("leases --help", 0, id="help of a group"),
        pytest.param("status --jsno", 2, id="unknown option"),
        pytest.param("statsu", 2, id="unknown command"),
        pytest.param("quarantine show twelve", 2, id="not a number"),
    ],
)
def test_no_driver_is_loaded_to_answer(line: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, *line.split()], capture_output=True, text=True, check=False
    )

    loaded = set(done.stderr.split("\n")[-2].split())
    assert done.returncode == code
    assert "projector.cli.app" in loaded
    assert [name for name in HEAVY if name in loaded] == []
