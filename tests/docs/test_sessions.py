"""The page on sessions names every property that is set, with its value."""

from __future__ import annotations

import re
from pathlib import Path

from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.properties import PLANS, SESSION, STARTUP

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sessions.md"
CONDITIONAL = {"transaction_timeout", "synchronous_commit", "session_replication_role"}


def test_every_property_has_a_row_with_its_value() -> None:
    told = dict(re.findall(r"^\| `([\w.]+)` \| (.+?) \|", PAGE.read_text("utf-8"), re.MULTILINE))
    time_outs = Connections(ConnectionOptions(url="")).time_outs()
    assert set(told) == {*STARTUP, *SESSION, *PLANS, *time_outs, *CONDITIONAL}
    fixed = {**STARTUP, **SESSION, **PLANS}
    assert {name: told[name].strip("`") for name in fixed} == fixed
