"""Which version scanned documents get, where the feed ends for a part, and what is not believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from projector.core.errors import RebuildError
from projector.core.names import Continuation, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.core.start import Position
from projector.ports.feed import FeedTarget, Page
from projector.ports.filling import Load
from projector.ports.points import ScannedPage
from projector.rebuild.pages import FeedPages, FromBefore, ScanPages
from tests.carts import CART_PROJECTION
from tests.unit.projection.documents import document, page

TARGET = FeedTarget(lease_token=LeaseToken("0"), feed_range=FULL_RANGE, range_id="0")
ANCHOR = Position(continuation=Continuation('"10"'), lsn=10)
GOOD = '"item": "Pen", "quantity": 1'


def body_of(*lsns: int) -> bytes:
    return page([document(f'{GOOD}, "id": "{lsn}"', lsn=lsn) for lsn in lsns])


def feed_page(lsn: int | None, *lsns: int, session_lsn: int | None = 50) -> Page:
    return Page(
        body=body_of(*lsns) if lsns else None,
        continuation=Continuation(f'"{lsn}"'),
        lsn=lsn,
        session_lsn=session_lsn,
        request_units=2.0,
    )


@dataclass
class Answers:
    """A source and a scanner that give one answer."""

    answer: Any
    asked: list[Any] = field(default_factory=list)

    async def read_page(self, _target: object, place: object, *, max_documents: int) -> Any:
        self.asked.append((place, max_documents))
        return self.answer

    async def scan(self, _target: object, place: object, *, max_documents: int) -> Any:
        self.asked.append((place, max_documents))
        return self.answer

    def lsn_of(self, continuation: Continuation) -> int | None:
        text = continuation.strip('"')
        return int(text) if text.isdigit() else None


async def from_feed(answer: Page, place: str | None = None) -> Load:
    pages = FeedPages(Answers(answer), CART_PROJECTION)
    found = await pages.read(TARGET, place, anchor=ANCHOR, max_documents=5)
    return pages.load(found, anchor=ANCHOR)


async def from_scan(*, session_lsn: int | None, next_page: str | None = None) -> Load:
    answer = ScannedPage(
        body=body_of(3, 99), next_page=next_page, session_lsn=session_lsn, request_units=1.5
    )
    pages = ScanPages(Answers(answer), CART_PROJECTION)  # type: ignore[arg-type]  # what is asked of it
    found = await pages.read(TARGET, None, anchor=ANCHOR, max_documents=5)
    return pages.load(found, anchor=ANCHOR)


async def test_feed_is_read_up_to_the_anchor_and_what_lies_above_is_left() -> None:
    load = await from_feed(feed_page(9, 3, 9))
    assert ([write.lsn for write in load.writes], load.last, load.place) == ([3, 9], False, '"9"')
    load = await from_feed(feed_page(12, 10, 12), place='"9"')
    assert ([write.lsn for write in load.writes], load.last, load.documents) == ([10], True, 1)
    assert load.request_units == 2.0


async def test_a_range_without_documents_ends_where_it_was_anchored() -> None:
    load = await from_feed(feed_page(10))
    assert (load.writes, load.last, load.documents) == ([], True, 0)


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        pytest.param(feed_page(7), '"5"', id="nothing new, before the anchor"),
        pytest.param(feed_page(9, 9, session_lsn=4), '"5"', id="a partition that is behind"),
        pytest.param(feed_page(4, 4), '"5"', id="a place that goes back"),
    ],
)
async def test_an_answer_from_before_what_was_read_is_not_taken(answer: Page, place: str) -> None:
    with pytest.raises(FromBefore):
        await from_feed(answer, place)


async def test_places_without_an_order_cannot_be_filled_from() -> None:
    with pytest.raises(RebuildError, match="by a scan"):
        await from_feed(feed_page(None, 3))


async def test_scanned_documents_are_of_the_anchor_so_that_every_later_change_wins() -> None:
    load = await from_scan(session_lsn=10, next_page="more")
    assert [write.lsn for write in load.writes] == [10, 10]
    assert (load.place, load.last, load.request_units) == ("more", False, 1.5)
    assert (await from_scan(session_lsn=12)).last


async def test_a_scan_that_is_older_than_its_anchor_is_not_taken() -> None:
    with pytest.raises(FromBefore):
        await from_scan(session_lsn=9)
    with pytest.raises(RebuildError, match="from the feed"):
        await from_scan(session_lsn=None)
