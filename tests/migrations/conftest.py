"""A release after this one, whose migrations are ours and one step more."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from projector.postgres import schema

STEP = """
from alembic import op

revision, down_revision = "{next}", "{last}"


def upgrade() -> None:
    op.execute("ALTER TABLE projector.housekeeping_runs ADD COLUMN more text")
"""


@pytest.fixture
def next_release(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The program knows a step more than `database_url` has; its number."""
    assert schema.current(database_url) == schema.head()
    last = schema.head()
    number = f"{int(last) + 1:04}"
    later = tmp_path / "migrations"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(schema.migrations_folder(), later, ignore=ignored)
    step = later / "versions" / f"{number}_expand_more.py"
    step.write_text(STEP.replace("{next}", number).replace("{last}", last))
    monkeypatch.setattr(schema, "migrations_folder", lambda: later)
    return number
