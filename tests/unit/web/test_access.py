from __future__ import annotations

import pytest

from projector.web.access import COOKIE, Access, Answer, is_loopback

TOKEN = "a-token-of-some-length"
LOCAL = Access.of(host="127.0.0.1", token=None, names=[])
LOCAL_ASKING = Access.of(host="::1", token=TOKEN, names=[])
OPEN = Access.of(host="0.0.0.0", token=TOKEN, names=["Shop.Example"])  # noqa: S104
CLOSED = Access.of(host="0.0.0.0", token=None, names=[])  # noqa: S104
RIGHT = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("access", "headers", "answer"),
    [
        (LOCAL, {"Host": "127.0.0.1:8080"}, Answer.WELCOME),
        (LOCAL, {"Host": "LOCALHOST:8080"}, Answer.WELCOME),
        (LOCAL, {"Host": "[::1]:8080"}, Answer.WELCOME),
        (LOCAL, {"Host": "evil.example:8080"}, Answer.WRONG_HOST),
        (LOCAL, {"Host": "127.0.0.1.evil.example"}, Answer.WRONG_HOST),
        (LOCAL, {"Host": "localhost.evil.example"}, Answer.WRONG_HOST),
        (LOCAL, {"Host": "evil.example@127.0.0.1"}, Answer.WELCOME),
        (LOCAL, {"Host": ""}, Answer.WRONG_HOST),
        (LOCAL, {"Host": "[::1"}, Answer.WRONG_HOST),
        (LOCAL, {}, Answer.WRONG_HOST),
        (LOCAL, {"Host": "localhost", "Sec-Fetch-Site": "same-origin"}, Answer.WELCOME),
        (LOCAL, {"Host": "localhost", "Sec-Fetch-Site": "cross-site"}, Answer.WRONG_HOST),
        (
            LOCAL,
            {"Host": "localhost", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
            Answer.WELCOME,
        ),
        (LOCAL_ASKING, {"Host": "localhost"}, Answer.TOKEN_NEEDED),
        (LOCAL_ASKING, {"Host": "localhost"} | RIGHT, Answer.WELCOME),
        (CLOSED, {"Host": "10.0.0.7"}, Answer.CLOSED),
        (CLOSED, {"Host": "10.0.0.7"} | RIGHT, Answer.CLOSED),
        (OPEN, {"Host": "10.0.0.7"}, Answer.TOKEN_NEEDED),
        (OPEN, {"Host": "10.0.0.7"} | RIGHT, Answer.WELCOME),
        (OPEN, {"Host": "shop.example"} | RIGHT, Answer.WELCOME),
        (OPEN, {"Host": "other.example"} | RIGHT, Answer.WRONG_HOST),
        (OPEN, {"Host": "10.0.0.7", "Authorization": f"Basic {TOKEN}"}, Answer.TOKEN_NEEDED),
        (OPEN, {"Host": "10.0.0.7", "Authorization": f"Bearer {TOKEN}x"}, Answer.TOKEN_NEEDED),
        (OPEN, {"Host": "10.0.0.7", "Authorization": "Bearer "}, Answer.TOKEN_NEEDED),
        (OPEN, {"Host": "10.0.0.7", "Authorization": "Bearer \udcff"}, Answer.TOKEN_NEEDED),
    ],
    ids=lambda value: "",
)
def test_who_gets_in(access: Access, headers: dict[str, str], answer: Answer) -> None:
    assert access.answer(headers, {}) is answer


def test_the_cookie_is_not_the_token_and_opens_for_it_alone() -> None:
    host = {"Host": "10.0.0.7"}
    assert TOKEN not in OPEN.cookie
    assert OPEN.answer(host, {COOKIE: OPEN.cookie}) is Answer.WELCOME
    assert OPEN.answer(host, {COOKIE: TOKEN}) is Answer.TOKEN_NEEDED
    assert OPEN.answer(host, {COOKIE: CLOSED.cookie}) is Answer.TOKEN_NEEDED
    assert not CLOSED.admits("")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("", False),
        ("10.0.0.7", False),
        ("localhost.example", False),
    ],
)
def test_only_loopback_is_open_by_itself(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_a_token_is_not_told() -> None:
    assert TOKEN not in repr(OPEN)
