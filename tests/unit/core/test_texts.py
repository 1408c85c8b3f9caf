from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.core.texts import JOINERS, printable

STEERING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        pytest.param("Größe 東京 🙂", "Größe 東京 🙂", id="what can be seen"),
        pytest.param("\x1b[2J\x9b31m", "\\x1b[2J\\x9b31m", id="control sequences"),
        pytest.param("a\nerror: b\r\tc", "a\\nerror: b\\r\\tc", id="lines"),
        pytest.param("\u2028\u2029\x85", "\\u2028\\u2029\\x85", id="lines of Unicode"),
        pytest.param("\u202egnp.exe", "\\u202egnp.exe", id="direction"),
        pytest.param("\ud800", "\\ud800", id="lone surrogate"),
        pytest.param("\U000e0041", "\\U000e0041", id="tag"),
        pytest.param("a\\nb", "a\\nb", id="a backslash stays"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_its_escape(text: str, seen: str) -> None:
    assert printable(text) == seen


@given(st.text(st.characters()))
def test_nothing_is_left_that_steers_a_terminal(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not {unicodedata.category(one) for one in shown if one not in JOINERS} & STEERING
