from __future__ import annotations

import pytest

from cosmos_emulator.session import session_lsn, session_token


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param("0:-1#42", 42, id="own"),
        pytest.param("1:-1#7,0:-1#42", 42, id="in a list"),
        pytest.param("0:-1#42#1=5", 42, id="with regions"),
        pytest.param("0:42", 42, id="simple"),
        pytest.param("1:-1#42", None, id="another range"),
        pytest.param("0:-1#x", None, id="no number"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="absent"),
    ],
)
def test_the_lsn_of_a_range_is_found(token: str | None, expected: int | None) -> None:
    assert session_lsn(token, "0") == expected


def test_a_token_is_read_back() -> None:
    assert session_lsn(session_token("3", 9), "3") == 9
