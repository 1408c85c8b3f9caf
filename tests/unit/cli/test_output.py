from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from projector.cli.output import print_json, print_table, shown

ROWS: list[dict[str, object]] = [
    {"lease_token": "0", "lag_seconds": None},
    {"lease_token": "1", "lag_seconds": 0.0},
]


def test_json_is_one_document_with_null_for_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"ranges": ROWS, "at": datetime(2026, 1, 31, tzinfo=UTC), "sum": Decimal("1.10")})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out)["ranges"] == ROWS


def test_unknown_is_not_shown_as_zero() -> None:
    assert shown(None) == "unknown"
    assert shown(0.0) == "0.0"


def test_without_a_terminal_rows_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        [*ROWS, {"lease_token": "a b", "lag_seconds": 1.0}],
        ["lease_token", "lag_seconds"],
        nothing="no range",
    )
    assert capsys.readouterr().out.splitlines() == [
        "lease_token=0 lag_seconds=unknown",
        "lease_token=1 lag_seconds=0.0",
        'lease_token="a b" lag_seconds=1.0',
    ]


def test_no_rows_are_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([], ["x"], nothing="no range yet")
    assert capsys.readouterr().out == "no range yet\n"
