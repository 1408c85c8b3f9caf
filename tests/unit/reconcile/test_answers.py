"""One document that cannot be read costs itself, not its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from projector.core.errors import (
    ConfigurationError,
    ProjectorError,
    SinkTooSlow,
    SourceUnavailable,
    Throttled,
)
from projector.core.names import Epoch, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.ports.feed import Grant, RangeClaim
from projector.ports.points import PointRead
from projector.ports.rows import DocumentKey, Mended, ReadMark, Verdict
from projector.reconcile.answers import Judge, in_halves, read_answers
from projector.reconcile.sweep import GIVES_UP_AFTER, Sweeper
from tests.carts import CART_PROJECTION


def key(document_id: str) -> DocumentKey:
    return DocumentKey(partition_key='"cart"', id=document_id)


KEYS = [key("good"), key("bad"), key("other")]


class Reader:
    """All documents are absent; what is asked about those of `errors` fails."""

    def __init__(self, **errors: ProjectorError) -> None:
        self.errors = errors
        self.outage: ProjectorError | None = None

    async def read(
        self, partition_key_json: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        error = self.outage or self.errors.get(document_id)
        if error is not None:
            raise error
        return PointRead(raw=None, session_lsn=None if document_id == "mute" else 7)


def asking(reader: Reader) -> Judge:
    return Judge(reader=reader, projection=CART_PROJECTION)


class Store:
    """Candidates until they have a verdict."""

    def __init__(self) -> None:
        self.left = list(KEYS)
        self.finished = False

    async def mark(self, grant: Any) -> ReadMark:
        return ReadMark(range_id=1, lineage=0, tick=0, at=datetime.min.replace(tzinfo=UTC))

    async def sweep_candidates(
        self, grant: Any, *, after: DocumentKey | None, limit: int
    ) -> Sequence[DocumentKey]:
        return [one for one in self.left if after is None or one > after][:limit]

    async def apply_verdicts(
        self, grant: Any, *, mark: ReadMark, verdicts: Sequence[Verdict]
    ) -> Mended:
        self.left = [one for one in self.left if one not in {two.key for two in verdicts}]
        return Mended(removed=len(verdicts))

    async def finish_replay(self, grant: Any, *, swept: Any = None) -> None:
        self.finished = True


GRANT = Grant(
    claim=RangeClaim(
        container_rid="rid",
        processor_name="test",
        lease_token=LeaseToken("0"),
        feed_range=FULL_RANGE,
        owner=InstanceName("a"),
    ),
    epoch=Epoch(1),
    range_id=1,
)


@pytest.mark.parametrize(
    "error", [SourceUnavailable("hangs"), ConfigurationError("400")], ids=["outage", "malformed"]
)
async def test_all_but_the_unreadable_document_are_decided(error: ProjectorError) -> None:
    answers = await read_answers(asking(Reader(bad=error)), KEYS, session_token=None)

    assert [one.key.id for one in answers.verdicts] == ["good", "other"]
    assert answers.unread == {key("bad"): str(error)}


async def test_an_answer_without_a_version_decides_nothing() -> None:
    answers = await read_answers(asking(Reader()), [key("mute")], session_token=None)

    assert list(answers.unread) == [key("mute")]


async def test_an_outage_is_an_outage() -> None:
    reader = Reader()
    reader.outage = SourceUnavailable("down")

    with pytest.raises(SourceUnavailable, match="down"):
        await read_answers(asking(reader), KEYS, session_token=None)


async def test_a_throttled_read_is_nobodys_fault() -> None:
    with pytest.raises(Throttled):
        await read_answers(
            asking(Reader(bad=Throttled(retry_after_seconds=1))), KEYS, session_token=None
        )


async def test_a_sweep_settles_the_others_and_gives_up_on_one_that_is_never_read() -> None:
    store = Store()
    sweeper = Sweeper(store=store, judge=asking(Reader(bad=SourceUnavailable("hangs"))))

    for _ in range(GIVES_UP_AFTER - 1):
        with pytest.raises(SourceUnavailable, match="was not decided: hangs"):
            await sweeper.sweep(GRANT, session_token=None)
        assert store.left == [key("bad")]
        assert not store.finished
    await sweeper.sweep(GRANT, session_token=None)
    assert store.finished
    assert store.left == [key("bad")]  # nothing is removed on inference


async def test_many_that_are_never_read_take_no_more_sweeps_than_one() -> None:
    store = Store()
    hangs = SourceUnavailable("hangs")
    sweeper = Sweeper(store=store, judge=asking(Reader(bad=hangs, other=hangs)))

    for _ in range(GIVES_UP_AFTER - 1):
        with pytest.raises(SourceUnavailable):
            await sweeper.sweep(GRANT, session_token=None)
    await sweeper.sweep(GRANT, session_token=None)
    assert store.finished


def verdict(number: int) -> Verdict:
    return Verdict(key=key(f"{number:02}"), lsn=1, write=None)


async def test_a_verdict_that_is_too_much_costs_itself() -> None:
    async def write(part: Sequence[Verdict]) -> list[str]:
        if key("05") in {one.key for one in part}:
            raise SinkTooSlow("too slow")
        return [one.key.id for one in part]

    done = await in_halves(write, [verdict(number) for number in range(12)])

    assert sorted(one for part in done.answers for one in part) == [
        f"{n:02}" for n in range(12) if n != 5
    ]
    assert done.unwritten == {key("05"): "too slow"}


@pytest.mark.parametrize("count", [1, 12])
async def test_a_target_that_is_slow_with_everything_is_waited_for(count: int) -> None:
    calls: list[int] = []

    async def write(part: Sequence[Verdict]) -> None:
        calls.append(len(part))
        raise SinkTooSlow("slow")

    with pytest.raises(SinkTooSlow):
        await in_halves(write, [verdict(number) for number in range(count)])
    assert len(calls) < 8
