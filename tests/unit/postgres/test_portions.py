"""Portions of a batch: how they are cut, and how their size falls and rises."""

from __future__ import annotations

import msgspec
import pytest

from projector.core.names import Continuation, Epoch
from projector.postgres.portions import Outcome, Portions, Work
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


def begun(portions: Portions, whole: Batch, *, range_id: int = 1) -> Work:
    work = portions.work(range_id, Epoch(7), whole, Continuation('"5"'))
    assert work.next() is not None
    return work


def test_size_halves_and_grows_while_portions_are_quick() -> None:
    portions, whole = Portions(seconds=8), batch(200)
    work = begun(portions, whole)
    assert (work.portion, work.ends) == (whole, True)
    assert work.too_much()
    work = begun(portions, whole)
    half = work.portion
    assert (half.size < whole.size, work.ends) == (True, False)
    work.did(Outcome(), seconds=3.0)  # not quick enough to ask for more
    assert begun(portions, batch(201)).portion.size <= half.size + 1
    begun(portions, batch(201)).did(Outcome(), seconds=1.0)
    assert begun(portions, batch(202)).portion.size > half.size
    for _ in range(20):
        begun(portions, batch(203)).did(Outcome(), seconds=0.1)
    assert begun(portions, whole).portion == whole
    assert begun(portions, whole, range_id=2).portion == whole


def test_one_document_is_not_divided() -> None:
    work = begun(Portions(seconds=8), batch(1).divided(1)[1])
    assert not work.too_much()


def test_only_the_batch_that_was_begun_is_continued() -> None:
    portions, whole, end = Portions(seconds=8), batch(9), Continuation('"5"')
    work = begun(portions, whole)
    assert work.too_much()
    assert work.next() is not None
    work.did(Outcome(upserted=5), seconds=3.0)
    left = work.left
    assert left is not None

    def found(range_id: int, epoch: int, asked: Batch, at: Continuation) -> tuple[object, Outcome]:
        continued = portions.work(range_id, Epoch(epoch), asked, at)
        return continued.left, continued.done

    assert found(1, 7, whole, end) == (left, Outcome(upserted=5))
    assert found(1, 8, whole, end) == (whole, Outcome())
    assert found(1, 7, whole, Continuation('"6"')) == (whole, Outcome())
    assert found(1, 7, batch(8), end) == (batch(8), Outcome())
    assert found(2, 7, whole, end) == (whole, Outcome())
    while work.next() is not None:
        work.did(Outcome(), seconds=3.0)
    assert found(1, 7, whole, end) == (whole, Outcome())
