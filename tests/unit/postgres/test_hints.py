"""What the next batch is guessed to be like."""

from __future__ import annotations

from projector.core.names import Epoch
from projector.postgres.portions import (
    BULK,
    LONGEST_CAUTION,
    REMEMBERED_RANGES,
    BatchFacts,
    BatchHint,
    Hints,
)

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
