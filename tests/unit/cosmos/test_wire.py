from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.cosmos.wire import Answer, answer_of, session_lsn


class Message:
    """As much of a pipeline's request or response as the hooks look at."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def response(
    status: int = 200, body: bytes = b"page", kind: str = "docs", **headers: str
) -> Message:
    request = Message(headers={"x-ms-thinclient-proxy-resource-type": kind})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Message(
        http_response=Message(status_code=status, headers=named, body=lambda: body, request=request)
    )


@pytest.mark.parametrize(
    ("token", "range_id", "lsn"),
    [
        pytest.param("0:-1#42", "0", 42, id="vector"),
        pytest.param("12:1#42#5=40#6=41", "12", 42, id="regions"),
        pytest.param("0:42", "0", 42, id="simple"),
        pytest.param("42", None, 42, id="bare"),
        pytest.param("7:-1#42", "0", 42, id="only entry, after a split"),
        pytest.param("0:-1#4,1:-1#5", "1", 5, id="list"),
        pytest.param("0:-1#4,1:-1#5", "2", None, id="list without the range"),
        pytest.param("0:-1#4,1:-1#5", None, None, id="list without a question"),
        pytest.param("0:-1#", "0", None, id="no number"),
        pytest.param("0:-1#x", "0", None, id="not a number"),
        pytest.param("nonsense", "0", None, id="no token"),
        pytest.param("", "0", None, id="empty"),
        pytest.param(None, "0", None, id="absent"),
    ],
)
def test_session_lsn_is_the_partition_lsn_or_unknown(
    token: str | None, range_id: str | None, lsn: int | None
) -> None:
    assert session_lsn(token, range_id) == lsn


@given(st.text(), st.none() | st.text())
def test_session_lsn_never_fails(token: str, range_id: str | None) -> None:
    session_lsn(token, range_id)


def test_answer_keeps_what_the_response_says() -> None:
    answer = answer_of(
        response(
            429,
            b"{}",
            etag='"7"',
            x_ms_substatus="3200",
            x_ms_retry_after_ms="250",
            x_ms_session_token="0:-1#9",
            x_ms_continuation="next",
            x_ms_item_count="3",
            x_ms_request_charge="2.5",
        ).http_response
    )
    assert answer == Answer(
        status=429,
        body=b"{}",
        substatus=3200,
        etag='"7"',
        session_token="0:-1#9",
        next_page="next",
        document_count=3,
        request_units=2.5,
        retry_after_seconds=0.25,
    )


@pytest.mark.parametrize("wait", ["soon", "nan", "inf", "-5", ""])
def test_headers_that_are_no_numbers_are_unknown(wait: str) -> None:
    answer = answer_of(
        response(x_ms_substatus="?", x_ms_retry_after_ms=wait, x_ms_item_count="").http_response
    )
    assert (answer.substatus, answer.retry_after_seconds, answer.document_count) == (
        None,
        None,
        None,
    )
