"""A release after this one, whose migrations are ours and one step more."""

from __future__ import annotations

from pathlib import Path

import pytest

from projector.postgres import schema
from tests.acceptance.later_release import one_step_more


@pytest.fixture
def next_release(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The program knows a step more than `database_url` has; its number."""
    assert schema.current(database_url) == schema.head()
    later = tmp_path / "migrations"
    number = one_step_more(later)
    monkeypatch.setattr(schema, "migrations_folder", lambda: later)
    return number
