"""What an entry of the timeline says to people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from projector.ports.timeline import SENTENCES, Kind, TimelineEntry

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def said(kind: str, subject: str = "", detail: Mapping[str, Any] | None = None) -> str:
    return TimelineEntry(
        id=1, happened_at=NOW, kind=kind, subject=subject, detail=detail or {}, actor="a"
    ).sentence


def test_every_kind_has_its_sentence() -> None:
    assert set(SENTENCES) == set(Kind)
    assert all(said(kind, "7") for kind in Kind)


@pytest.mark.parametrize(
    ("kind", "subject", "detail", "sentence"),
    [
        (
            "host_stopped",
            "web-1",
            {"documents": 12000, "why": None},
            "host web-1 stopped (documents 12,000)",
        ),
        ("split", "0", {"into": ["1", "2", "3"]}, "range 0 split into 1, 2 and 3"),
        ("merge", "3", {}, "ranges unknown merged into 3"),
        (
            "rebuild_promoted",
            "2",
            {"rows": 5, "seconds": 1.25},
            "generation 2 promoted (rows 5, seconds 1.2)",
        ),
        ("of_a_newer_program", "x", {"some_thing": "y"}, "of a newer program x (some thing y)"),
        ("odd{kind}", "{0}", {}, "odd{kind} {0}"),
        ("drift_found", "", {"missing": 1, "subject": "s"}, "drift found (missing 1, subject s)"),
    ],
    ids=["counts", "list", "unknown", "numbers", "newer", "braces", "subject"],
)
def test_a_sentence_tells_all_of_the_detail(
    kind: str, subject: str, detail: Mapping[str, Any], sentence: str
) -> None:
    assert said(kind, subject, detail) == sentence
