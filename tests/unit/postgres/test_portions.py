"""Portions of a batch: how they are cut, and how their size falls and rises."""

from __future__ import annotations

import msgspec
import pytest

from projector.core.names import Continuation, Epoch
from projector.postgres.portions import Outcome, Portions, Remainder
from projector.projection.project import fold
from projector.projection.writes import Batch, Rejection
from tests.integration.postgres.carts import line, page, rejection, tombstone


def unread(number: int) -> Rejection:
    return msgspec.structs.replace(rejection("?", f"bad {number}", 2), key=None)


def batch(count: int, *, unreadable: int = 0) -> Batch:
    bad = [("cart", f"doc {n:04}", 2) for n in range(0, count, 3)]
    return fold(
        [
            page(
                *(line("cart", f"doc {n:04}", 1) for n in range(count)),
                *(tombstone(*one) for one in bad),
                rejections=[
                    *(rejection(*one) for one in bad),
                    *(unread(n) for n in range(unreadable)),
                ],
            )
        ]
    )


@pytest.mark.parametrize("unreadable", [0, 5])
@pytest.mark.parametrize("size", [1, 2, 7, 50])
def test_portions_hold_everything_once_and_a_rejection_with_its_tombstone(
    size: int, unreadable: int
) -> None:
    whole = batch(20, unreadable=unreadable)
    left, writes, rejections = whole, 0, 0
    while left.size > size:
        portion, left = left.divided(size)
        assert portion.size > 0
        tied = {one.id for one in portion.rejections if one.key}
        assert tied <= {one.id for one in portion.writes}
        writes += len(portion.writes)
        rejections += len(portion.rejections)
    assert writes + len(left.writes) == len(whole.writes)
    assert rejections + len(left.rejections) == len(whole.rejections)
    assert left.delivered == whole.delivered


def test_size_halves_and_grows_while_portions_are_quick() -> None:
    portions, whole = Portions(seconds=8), batch(200)
    assert portions.next_of(1, whole) == (whole, None)
    assert portions.too_much(1, whole)
    half, rest = portions.next_of(1, whole)
    assert rest is not None
    assert half.size < whole.size
    portions.took(1, half, 3.0)  # not quick enough to ask for more
    assert portions.next_of(1, whole)[0].writes == half.writes
    portions.took(1, half, 1.0)
    assert portions.next_of(1, whole)[0].size > half.size
    for _ in range(20):
        portion, _ = portions.next_of(1, whole)
        portions.took(1, portion, 0.1)
    assert portions.next_of(1, whole) == (whole, None)
    assert portions.next_of(2, whole) == (whole, None)


def test_one_document_is_not_divided() -> None:
    portions = Portions(seconds=8)
    assert not portions.too_much(1, batch(1).divided(1)[1])


def test_only_the_batch_that_was_begun_is_continued() -> None:
    portions, whole = Portions(seconds=8), batch(9)
    left = whole.divided(4)[1]
    end = Continuation('"5"')
    portions.leave(1, Remainder(epoch=Epoch(7), end=end, batch=left, done=Outcome(upserted=5)))
    assert portions.remaining(1, Epoch(7), whole, end) == (left, Outcome(upserted=5))
    assert portions.remaining(1, Epoch(8), whole, end) == (whole, Outcome())
    assert portions.remaining(1, Epoch(7), whole, Continuation('"6"')) == (whole, Outcome())
    assert portions.remaining(1, Epoch(7), batch(8), end)[0].size == batch(8).size
    assert portions.remaining(2, Epoch(7), whole, end) == (whole, Outcome())
    portions.leave(1, None)
    assert portions.remaining(1, Epoch(7), whole, end) == (whole, Outcome())
