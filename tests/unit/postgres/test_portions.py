"""Portions of a batch: how they are cut, and how their size falls and rises."""

from __future__ import annotations

import msgspec
import pytest

from projector.core.names import Continuation, Epoch
from projector.postgres.portions import (
    BULK,
    LONGEST_CAUTION,
    REMEMBERED_RANGES,
    BatchFacts,
    BatchHint,
    Hints,
    Outcome,
    Portions,
    Work,
)
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


FIRST, SECOND = Epoch(1), Epoch(2)


def facts(**changes: int) -> BatchFacts:
    values = {"writes": BULK, "inserted": BULK, "changed": BULK, "has_entries": 0, "met_rows": 0}
    values.update(changes)
    return BatchFacts(
        writes=values["writes"],
        inserted=values["inserted"],
        changed=values["changed"],
        has_entries=bool(values["has_entries"]),
        met_rows=bool(values["met_rows"]),
    )


def test_nothing_is_guessed_at_first() -> None:
    assert Hints().of(1, FIRST) == BatchHint()


def test_a_bulk_of_new_rows_is_followed_by_more() -> None:
    hints = Hints()
    hints.learn(1, FIRST, facts())
    assert hints.of(1, FIRST) == BatchHint(insert_only=True)
    assert hints.of(2, FIRST) == BatchHint()
    hints.learn(1, FIRST, facts(inserted=BULK - 1))
    assert hints.of(1, FIRST) == BatchHint()


def test_few_rows_are_no_bulk() -> None:
    hints = Hints()
    hints.learn(1, FIRST, facts(writes=BULK - 1, inserted=BULK - 1, changed=BULK - 1))
    assert hints.of(1, FIRST) == BatchHint()


def test_each_wrong_guess_doubles_the_caution() -> None:
    hints, waits = Hints(), []
    for _ in range(8):
        hints.learn(1, FIRST, facts(inserted=BULK - 1, met_rows=1))
        waited = 0
        while not hints.of(1, FIRST).insert_only:
            hints.learn(1, FIRST, facts())
            waited += 1
        waits.append(waited - 1)
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST_CAUTION, LONGEST_CAUTION]


def test_right_guesses_take_the_caution_back() -> None:
    hints = Hints()
    for _ in range(4):
        hints.learn(1, FIRST, facts(inserted=BULK - 1, met_rows=1))
    for _ in range(30):
        hints.learn(1, FIRST, facts())
    hints.learn(1, FIRST, facts(inserted=BULK - 1, met_rows=1))
    for _ in range(2):
        assert hints.of(1, FIRST) == BatchHint()
        hints.learn(1, FIRST, facts())
    assert hints.of(1, FIRST) == BatchHint(insert_only=True)


def test_a_new_epoch_starts_without_caution() -> None:
    hints = Hints()
    hints.learn(1, FIRST, facts(met_rows=1))
    hints.learn(1, SECOND, facts())
    assert hints.of(1, SECOND) == BatchHint(insert_only=True)
    assert hints.of(1, FIRST) == BatchHint()


def test_mostly_unchanged_rows_are_looked_at_before_they_are_locked() -> None:
    hints = Hints()
    hints.learn(1, FIRST, facts(inserted=0, changed=BULK // 2 - 1))
    assert hints.of(1, FIRST) == BatchHint(skip_stale=True)
    hints.learn(1, FIRST, facts(inserted=0, changed=BULK // 2))
    assert hints.of(1, FIRST) == BatchHint()


def test_an_empty_page_tells_nothing_of_rows() -> None:
    hints = Hints()
    hints.learn(1, FIRST, facts())
    hints.learn(1, FIRST, facts(writes=0, inserted=0, changed=0, has_entries=1))
    assert hints.of(1, FIRST) == BatchHint(insert_only=True, has_entries=True)


def test_memory_is_bounded() -> None:
    hints = Hints()
    for number in range(REMEMBERED_RANGES + 1):
        hints.learn(number, FIRST, facts())
    assert hints.of(0, FIRST) == BatchHint()
    assert hints.of(REMEMBERED_RANGES, FIRST) == BatchHint(insert_only=True)
