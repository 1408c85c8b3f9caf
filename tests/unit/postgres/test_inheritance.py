"""Which stored range lends its place, row by row."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from projector.core.names import Continuation, Epoch, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange, uncovered
from projector.core.start import Position
from projector.ports.feed import RangeClaim
from projector.ports.ranges import StoredRange
from projector.postgres.inheritance import (
    FinishSplit,
    Inheritance,
    Reopen,
    StartFresh,
    TakeOver,
    decide_inheritance,
    holders_of,
)

LEFT, RIGHT = FeedRange(min="", max="20"), FeedRange(min="20", max="FF")
LOW, HIGH = FeedRange(min="", max="10"), FeedRange(min="10", max="20")


def claim(token: str, keys: FeedRange, *, processor: str = "p", rid: str = "r") -> RangeClaim:
    return RangeClaim(
        container_rid=rid,
        processor_name=processor,
        lease_token=LeaseToken(token),
        feed_range=keys,
        owner=InstanceName("host"),
    )


def stored(
    number: int, token: str, keys: FeedRange, *, retired: bool = True, lineage: int = 0
) -> StoredRange:
    """A row that was opened as the `number`-th."""
    return StoredRange(
        range_id=number,
        container_rid="r",
        lease_token=LeaseToken(token),
        processor_name="p",
        feed_range=keys,
        epoch=Epoch(number),
        opened_epoch=Epoch(number),
        lineage=lineage,
        position=Position(continuation=Continuation(str(number)), lsn=number),
        anchored_from=None,
        tick=number,
        purged_tick=0,
        retired=retired,
    )


PARENT = stored(1, "0", FULL_RANGE)
LEFT_CHILD = stored(2, "1", LEFT, retired=False)
RIGHT_CHILD = stored(3, "2", RIGHT, retired=False)
MERGED = stored(4, "3", FULL_RANGE, retired=False, lineage=1)


@pytest.mark.parametrize(
    ("wanted", "rows", "decision"),
    [
        pytest.param(claim("0", FULL_RANGE), [], StartFresh(lineage=0), id="nothing stored"),
        pytest.param(
            claim("1", LEFT), [PARENT, LEFT_CHILD], Reopen(stored=LEFT_CHILD), id="its own live row"
        ),
        pytest.param(
            claim("0", FULL_RANGE),
            [PARENT, LEFT_CHILD],
            FinishSplit(stored=PARENT),
            id="split parent, one child opened",
        ),
        pytest.param(
            claim("2", RIGHT),
            [PARENT],
            TakeOver(holder=PARENT),
            id="late child of a retired parent",
        ),
        pytest.param(
            claim("5", LOW), [PARENT, LEFT_CHILD], TakeOver(holder=LEFT_CHILD), id="grandchild"
        ),
        pytest.param(
            claim("3", FULL_RANGE),
            [PARENT, LEFT_CHILD, RIGHT_CHILD],
            StartFresh(lineage=1),
            id="merge of two",
        ),
        pytest.param(
            claim("3", FULL_RANGE), [LEFT_CHILD], StartFresh(lineage=1), id="partly never stored"
        ),
        pytest.param(
            claim("9", RIGHT),
            [PARENT, replace(RIGHT_CHILD, retired=True), MERGED],
            TakeOver(holder=MERGED),
            id="the newest holder lends, not the narrowest",
        ),
        pytest.param(
            claim("-20", LEFT),
            [LEFT_CHILD],
            TakeOver(holder=LEFT_CHILD),
            id="key range instead of a physical one",
        ),
        pytest.param(
            claim("1", LEFT),
            [replace(LEFT_CHILD, retired=True), stored(5, "-20", LEFT, retired=False)],
            FinishSplit(stored=replace(LEFT_CHILD, retired=True)),
            id="physical range that a key range replaced",
        ),
        pytest.param(
            claim("-20", LEFT),
            [stored(1, "-20", LEFT), stored(5, "4", LEFT, retired=False)],
            TakeOver(holder=stored(5, "4", LEFT, retired=False)),
            id="key range that comes again",
        ),
        pytest.param(
            claim("-20", LEFT),
            [stored(1, "-20", LEFT), stored(5, "-10", LOW, retired=False)],
            FinishSplit(stored=stored(1, "-20", LEFT)),
            id="key range that was split",
        ),
        pytest.param(
            claim("3", FULL_RANGE, processor="q"),
            [replace(MERGED, retired=True), stored(5, "1", LEFT), stored(6, "2", RIGHT)],
            StartFresh(lineage=2),
            id="another processor's ranges are no split of ours",
        ),
        pytest.param(
            claim("0", FULL_RANGE, rid="new"),
            [replace(PARENT, lineage=4)],
            StartFresh(lineage=5),
            id="another container lends nothing but its lineage",
        ),
    ],
)
def test_decision(wanted: RangeClaim, rows: list[StoredRange], decision: Inheritance) -> None:
    shuffled = random.Random(1).sample(rows, len(rows))
    assert decide_inheritance(wanted, shuffled) == decision


def test_holders_cover_each_key_once_by_the_newest() -> None:
    draw = random.Random(7)
    for _ in range(200):
        rows = []
        for number in range(1, draw.randint(2, 9)):
            low, high = sorted(draw.sample(range(16), 2))
            rows.append(stored(number, str(number), FeedRange(min=f"{low:X}", max=f"{high:X}")))
        holders = holders_of(FULL_RANGE, rows)
        covered = [one.feed_range for one in rows]
        assert uncovered(FULL_RANGE, [one.feed_range for one in holders]) == uncovered(
            FULL_RANGE, covered
        )
        for key in (f"{n:X}5" for n in range(16)):
            over = [one for one in rows if one.feed_range.contains(key)]
            newest = max(over, key=lambda one: one.opened_epoch, default=None)
            first = next((one for one in holders if one.feed_range.contains(key)), None)
            assert first == newest
