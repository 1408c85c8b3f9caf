"""When the first documents of a copy cannot be the ones that are meant."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from projector.core.errors import TooManyRejected
from projector.core.names import SourceName
from projector.operations.plausibility import FIRST_DOCUMENTS, Plausibility
from tests.carts import CART_PROJECTION

SOURCE = SourceName(account="acme", database="shop", container="orders")
GOOD = b'{"id":"1","cartId":"c","item":"Mug","quantity":1,"_etag":"e","_ts":1,"_lsn":1}'
BAD = b'{"id":"2","cartId":"c","item":"","quantity":1,"_etag":"e","_ts":1,"_lsn":1}'


def page(*, good: int = 0, bad: int = 0) -> Any:
    documents = b",".join([GOOD] * good + [BAD] * bad)
    body = b'{"_rid":"r","Documents":[' + documents + b'],"_count":%d}' % (good + bad)
    return CART_PROJECTION.page(body, lsn=1)


def plausibility(*, limit: float = 0.5, good: int = 0, rejected: int = 0) -> Plausibility:
    return Plausibility(source=SOURCE, limit=limit, good=good, rejected=rejected)


def test_half_of_the_first_thousand_may_be_bad_and_not_one_more() -> None:
    counted = plausibility()
    with counted.admitted([page(bad=500)]):
        pass
    with pytest.raises(TooManyRejected, match="501 of the first 501 documents of acme/shop/orders"):
        counted.admitted([page(bad=1)]).__enter__()
    with pytest.raises(TooManyRejected):  # nor anything after it
        counted.admitted([page(good=1)]).__enter__()
    with pytest.raises(TooManyRejected):
        counted.check()


def test_later_on_bad_documents_are_what_quarantine_is_for() -> None:
    counted = plausibility(good=FIRST_DOCUMENTS)
    with counted.admitted([page(bad=900)]):
        pass
    counted.check()


def test_a_batch_that_is_not_written_does_not_count() -> None:
    counted = plausibility()
    with pytest.raises(OSError, match="lost"), counted.admitted([page(good=2, bad=3)]):
        raise OSError("lost")
    assert (counted.good, counted.rejected) == (0, 0)


async def test_whoever_waits_is_told_to_stop() -> None:
    counted = plausibility(limit=0.0)
    stopped = asyncio.Event()
    with pytest.raises(TooManyRejected):
        counted.admitted([page(bad=1)]).__enter__()
    await counted.stop_when_refused(stopped.set)
    assert stopped.is_set()
