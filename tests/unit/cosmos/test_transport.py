"""What a request was for is told by its own headers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from projector.cosmos.transport import spent_on


@dataclass
class Sent:
    url: str
    headers: dict[str, str]


@dataclass
class Got:
    status_code: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"x-ms-request-charge": "2.5"})


def sent(resource: str, operation: str, **more: str) -> dict[str, str]:
    return {
        "x-ms-thinclient-proxy-resource-type": resource,
        "x-ms-thinclient-proxy-operation-type": operation,
        **more,
    }


@pytest.mark.parametrize(
    ("headers", "operation"),
    [
        (sent("docs", "ReadFeed", **{"A-IM": "Incremental Feed"}), "feed"),
        (sent("docs", "Read"), "read"),
        (sent("docs", "SqlQuery"), "query"),
        (sent("docs", "Replace"), "write"),
        (sent("docs", "Create"), "write"),
        (sent("pkranges", "ReadFeed"), "metadata"),
        (sent("colls", "Read"), "metadata"),
        ({}, "metadata"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_is_counted_as_what_it_is(headers: dict[str, str], operation: str) -> None:
    spent = spent_on(Sent("http://x/dbs/shop/colls/my%20cart/docs/", headers), Got())
    assert (spent.container, spent.operation) == ("my cart", operation)
    assert (spent.request_units, spent.throttled) == (2.5, False)


def test_a_refusal_for_its_cost_is_told_and_the_account_is_no_container() -> None:
    spent = spent_on(Sent("http://x/", {}), Got(status_code=429, headers={}))
    assert (spent.container, spent.throttled, spent.request_units) == ("", True, 0.0)
