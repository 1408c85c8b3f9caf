"""What a request to the monitored container does with the SDK's hooks."""

from __future__ import annotations

from typing import Any

from projector.cosmos.monitored import Request
from projector.cosmos.wire import PAGE_STAND_IN, Answer
from tests.unit.cosmos.test_wire import Message, response


def request(seen: list[Answer] | None = None, **options: Any) -> Request:
    kept = [] if seen is None else seen
    nobody: Any = None
    return Request(nobody, "rid", nobody, kept.append, **options)


def test_kept_page_is_replaced_for_the_sdk_and_no_other() -> None:
    feed = request(stand_in=PAGE_STAND_IN)
    answered = response()
    feed.hooks["raw_response_hook"](answered)
    assert feed.answer is not None
    assert feed.answer.body == b"page"
    assert answered.http_response.body() == PAGE_STAND_IN
    refused = response(404)
    feed.hooks["raw_response_hook"](refused)
    assert refused.http_response.body() == b"page"


def test_account_read_that_shares_the_hooks_is_left_alone() -> None:
    """The SDK hands a call's options to its own refresh of the account in between."""
    seen: list[Answer] = []
    feed = request(seen, stand_in=PAGE_STAND_IN)
    account = response(body=b"account", kind="databaseaccount")
    feed.hooks["raw_request_hook"](Message(http_request=account.http_response.request))
    feed.hooks["raw_response_hook"](account)
    assert account.http_response.body() == b"account"
    assert (seen, feed.answer) == ([], None)


def test_last_answer_counts_when_the_sdk_asks_again() -> None:
    feed = request(stand_in=PAGE_STAND_IN)
    for body in (b"first", b"second"):
        feed.hooks["raw_response_hook"](response(body=body))
    assert feed.answer is not None
    assert feed.answer.body == b"second"
