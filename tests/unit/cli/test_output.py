from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from projector.cli.output import print_json, print_table, shown
from projector.core.texts import printable

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


HOSTILE = [
    "[/x]",
    "[bold]x",
    ":smile:",
    "https://example.com",
    "\x1b[2J",
    "a\nerror: forged",
    "\u202eabc",
    "\ud800",
    "😀",
    "'; DROP TABLE x; --",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("terminal", [True, False])
def test_a_table_shows_a_strangers_text_as_a_text(
    text: str, terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "100")

    print_table([{"owner": text}], ["owner"], nothing="")

    out = capsys.readouterr().out
    assert printable(text) in out
    assert "\x1b" not in out.replace("\x1b[1m", "").replace("\x1b[0m", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_json_is_ascii_and_gives_the_text_back(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_json({"owner": text})

    out = capsys.readouterr().out
    assert out.isascii()
    assert out[:-1].isprintable()
    assert json.loads(out)["owner"] == (text if text != "\ud800" else "\\ud800")


def test_a_number_of_any_length_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    digits = "9" * 5_000
    print_json({"last_good": msgspec.Raw(f'{{"extra": {{"n": {digits}}}}}'.encode())})
    assert digits in capsys.readouterr().out
