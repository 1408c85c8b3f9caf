from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from projector.core.errors import RebuildError, SchemaMismatch, SinkUnavailable
from projector.core.names import InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.operations.generations import numbered, to_go_back_to
from projector.operations.rebuild import (
    SWITCH_ATTEMPTS,
    Compared,
    OnCompared,
    Promotion,
    Sides,
    Verdict,
    Wish,
    abort,
    against,
    caught_up,
    judged,
    promote,
    roll_back,
    start,
)
from projector.operations.rebuild_progress import Look, Progress
from projector.operations.status import RangeStatus
from projector.ports.generations import GenerationRecord, GenerationState
from projector.projection.carts import CARTS
from projector.projection.definition import Definition
from projector.projection.definition_text import definition_hash
from tests.fakes.clock import START, FakeClock

EQUAL = {"missing": 0, "extra": 0, "stale": 0, "totals_wrong": 0, "pending": 0, "before_start": 0}


def record(number: int, state: GenerationState, **more: Any) -> GenerationRecord:
    definition = more.pop("definition", CARTS)
    return GenerationRecord(
        id=number,
        schema=f"projector_g{number}",
        control="projector" if number == 1 else f"projector_g{number}",
        definition=definition,
        definition_hash=definition_hash(definition),
        processor_name="projector",
        state=state,
        **more,
    )


LIVE = record(1, GenerationState.LIVE)
MADE = record(2, GenerationState.FOLLOWING, created_at=START, who="ann@desk")


def range_status(lag: float | None = 0.0, **more: Any) -> RangeStatus:
    return RangeStatus(
        lease_token=LeaseToken("0"),
        feed_range=FULL_RANGE,
        **{"owner": InstanceName("host"), "opened": True, "lag_seconds": lag, **more},
    )


class Registry:
    """Generations in memory, and both sides of a rebuild over them."""

    def __init__(self, *records: GenerationRecord) -> None:
        self.clock = FakeClock()
        self.records = list(records)
        self.breaks: list[str] = []
        self.looks: list[Sequence[RangeStatus]] = [[range_status()]]
        self.found = Compared(consistent=True, counts=EQUAL)
        self.behind = 0
        self.unconfirmed = False
        self.unasked = False
        self.given_up = False
        self.down = 0
        self.followed = 0
        self.promotions: list[Promotion] = []
        self.noted: list[Mapping[str, Any]] = []
        self.told: list[Progress] = []

    def sides(self) -> Sides:
        return Sides(
            clock=self.clock,
            lag_seconds=1.0,
            records=self._records,
            would_break=self._would_break,
            create=self._create,
            look=self._look,
            compare=self._compare,
            note_verified=self._note,
            promote=self._promote,
            roll_back=self._roll_back,
            abort=self._abort,
        )

    def tell(self, progress: Progress) -> None:
        self.told.append(progress)

    def become(self, number: int, state: GenerationState) -> None:
        self.records = [
            replace(one, state=state) if one.id == number else one for one in self.records
        ]

    async def _records(self) -> Sequence[GenerationRecord]:
        if self.down:
            self.down -= 1
            raise SinkUnavailable("PostgreSQL does not answer")
        return sorted(self.records, key=lambda one: -one.id)

    async def _would_break(self, definition: Definition) -> Sequence[str]:
        return self.breaks

    async def _create(self, wish: Wish) -> GenerationRecord:
        self._lose_what_is_asked()
        made = record(
            len(self.records) + 1,
            GenerationState.FOLLOWING,
            definition=wish.definition,
            who=wish.who,
            why=wish.why,
        )
        self.records.append(made)
        self._lose_the_answer()
        return made

    def _lose_what_is_asked(self) -> None:
        if self.unasked:
            self.down = 2
            raise SinkUnavailable("the connection was lost before COMMIT")

    def _lose_the_answer(self) -> None:
        if self.unconfirmed:
            self.down = 2
            raise SinkUnavailable("the connection was lost at COMMIT")

    def _drop_what_is_given_up(self, of: GenerationRecord) -> None:
        if self.given_up:
            self.become(of.id, GenerationState.ABORTED)
            raise SchemaMismatch('relation "ranges" does not exist')

    async def _look(self, of: GenerationRecord) -> Look:
        self._drop_what_is_given_up(of)
        ranges = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return Look(record=of, ranges=ranges)

    async def _compare(self, of: GenerationRecord, on_compared: OnCompared) -> Compared:
        self._drop_what_is_given_up(of)
        return self.found

    async def _note(self, of: GenerationRecord, counts: Mapping[str, Any]) -> None:
        self.noted.append(counts)

    async def _promote(self, of: GenerationRecord, promotion: Promotion) -> str:
        if self.behind:
            self.behind -= 1
            return "pid 7 reads a view"
        if of.state is GenerationState.LIVE:
            self.followed += 1
            return ""
        self.become(1, GenerationState.FORMER)
        self.become(of.id, GenerationState.LIVE)
        self.promotions.append(promotion)
        if self.unconfirmed:
            self.down = 2
            return "the connection was lost at COMMIT"
        return ""

    async def _roll_back(self, to: GenerationRecord, who: str) -> str:
        self.become(2, GenerationState.FORMER)
        self.become(to.id, GenerationState.LIVE)
        return ""

    async def _abort(self, of: GenerationRecord, who: str) -> None:
        self._lose_what_is_asked()
        self.become(of.id, GenerationState.ABORTED)
        self._lose_the_answer()


WISH = Wish(definition=CARTS, who="ann@desk")


async def test_a_second_rebuild_at_once_is_refused_with_who_began_the_first_and_what_to_type() -> (
    None
):
    registry = Registry(LIVE, MADE)
    with pytest.raises(
        RebuildError,
        match=r"generation 2 is following since 2026-11-22 08:00:00Z, begun by ann@desk.*rebuild promote"
        r".*rebuild abort",
    ):
        await start(registry.sides(), WISH)
    assert registry.records == [LIVE, MADE]


async def test_what_would_break_is_told_before_anything_is_touched() -> None:
    registry = Registry(LIVE)
    registry.breaks = ["view shop.report reads carts.cart_totals.total_amount"]
    with pytest.raises(RebuildError, match=r"nothing was begun.*shop\.report"):
        await start(registry.sides(), WISH)
    assert registry.records == [LIVE]


async def test_a_rebuild_without_a_live_generation_is_refused() -> None:
    with pytest.raises(RebuildError, match="no generation is live"):
        await start(Registry().sides(), WISH)


async def test_a_start_is_waited_for_until_every_range_is_close_behind() -> None:
    registry = Registry(LIVE)
    made = await start(registry.sides(), WISH)
    registry.looks = [
        [],
        [range_status(owner=None)],
        [range_status(replaying=True)],
        [range_status(lag=None)],
        [range_status(lag=90.0)],
        [range_status(lag=0.4)],
    ]
    await caught_up(registry.sides(), generation=made.id, tell=registry.tell)
    assert [progress.waits_for for progress in registry.told] == [
        ("no host has taken it up yet",),
        ("range 0 is read by nobody",),
        ("range 0 is being filled, or its sweep has not ended",),
        ("range 0 is behind by an unknown time",),
        ("range 0 is 1 min 30 s behind",),
        (),
    ]


async def test_a_generation_that_is_given_up_is_waited_for_no_longer() -> None:
    registry = Registry(LIVE, MADE)
    registry.looks = [[range_status(lag=5.0)]]
    registry.become(2, GenerationState.ABORTED)
    with pytest.raises(RebuildError, match="generation 2 is aborted by now"):
        await caught_up(registry.sides(), generation=2, tell=registry.tell)


async def test_tables_that_vanish_under_a_look_or_a_comparison_are_those_of_one_that_was_given_up() -> (
    None
):
    for work in (
        lambda sides: caught_up(sides, generation=2, tell=lambda progress: None),
        lambda sides: judged(sides, MADE),
    ):
        registry = Registry(LIVE, MADE)
        registry.given_up = True
        with pytest.raises(RebuildError, match="generation 2 is aborted by now"):
            await work(registry.sides())


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        pytest.param({"stale": 1}, "1 row is not as its document", id="a row"),
        pytest.param({"missing": 2}, "2 documents are missing", id="missing"),
        pytest.param({"extra": 3}, "3 rows are of no document", id="extra"),
        pytest.param({"totals_wrong": 4}, "4 totals are not what the rows say", id="totals"),
        pytest.param({"pending": 5}, "5 differences nobody brings yet", id="pending"),
        pytest.param(
            {"before_start": 6},
            "6 documents are older than where it began to read, and are not in it",
            id="older",
        ),
        pytest.param({}, "it is not equal to the container", id="unknown"),
    ],
)
def test_anything_that_differs_speaks_against_a_promotion(
    counts: dict[str, int], told: str
) -> None:
    assert against(Compared(consistent=False, counts={**EQUAL, **counts})) == [told]


def test_nothing_speaks_against_what_is_equal() -> None:
    assert against(Compared(consistent=True, counts=EQUAL)) == []


async def test_the_outcome_is_kept_and_the_gate_stays_closed_when_it_differs() -> None:
    registry = Registry(LIVE, MADE)
    registry.found = Compared(consistent=False, counts={**EQUAL, "stale": 1}, lines=["stale: a"])
    verdict = await judged(registry.sides(), MADE)
    assert not verdict.open
    assert registry.noted == [registry.found.counts]
    assert registry.promotions == []


async def test_a_promotion_waits_until_it_is_close_again_after_the_comparison() -> None:
    registry = Registry(LIVE, MADE)
    registry.looks = [[range_status(lag=7.0)], [range_status()]]
    registry.behind = 2
    verdict = await judged(registry.sides(), MADE)
    waited: list[str] = []
    promotion = await promote(
        registry.sides(), verdict, who="ann", tell=registry.tell, waits=waited.append
    )
    assert registry.promotions == [promotion]
    assert not promotion.forced
    assert registry.told[0].waits_for == ("range 0 is 7 s behind",)
    assert waited == ["pid 7 reads a view"] * 2


async def test_a_promotion_that_waits_too_long_is_given_up() -> None:
    registry = Registry(LIVE, MADE)
    registry.behind = SWITCH_ATTEMPTS
    verdict = Verdict(record=MADE, compared=registry.found)
    with pytest.raises(
        RebuildError,
        match="nothing was switched: pid 7 reads a view; once more: projector rebuild promote",
    ):
        await promote(registry.sides(), verdict, who="ann", tell=registry.tell)
    assert registry.promotions == []


async def test_a_promotion_of_what_others_have_left_behind_says_so() -> None:
    registry = Registry(LIVE, MADE)
    verdict = await judged(registry.sides(), MADE)
    registry.become(2, GenerationState.FORMER)
    with pytest.raises(RebuildError, match="generation 2 is former by now"):
        await promote(registry.sides(), verdict, who="ann", tell=registry.tell)


async def test_a_forced_promotion_is_kept_with_what_spoke_against_it() -> None:
    registry = Registry(LIVE, MADE)
    registry.found = Compared(consistent=False, counts={**EQUAL, "missing": 1})
    verdict = await judged(registry.sides(), MADE)
    promotion = await promote(registry.sides(), verdict, who="ann", tell=registry.tell)
    assert (promotion.forced, promotion.against) == (True, ["1 document is missing"])
    assert promotion.counts["missing"] == 1


async def test_a_rollback_goes_to_the_former_one_that_is_fed_still() -> None:
    registry = Registry(
        replace(LIVE, state=GenerationState.FORMER, fed_until=START + timedelta(hours=1)),
        replace(MADE, state=GenerationState.LIVE),
    )
    former, left = await roll_back(registry.sides(), who="ann")
    assert (former.id, left.id) == (1, 2)


@pytest.mark.parametrize(
    ("records", "told"),
    [
        pytest.param([LIVE], "there is no former one", id="none"),
        pytest.param(
            [
                replace(LIVE, state=GenerationState.RETIRED),
                replace(MADE, state=GenerationState.LIVE),
            ],
            "generation 1 is no longer fed",
            id="retired",
        ),
    ],
)
def test_there_is_nothing_to_go_back_to(records: list[GenerationRecord], told: str) -> None:
    with pytest.raises(RebuildError, match=told):
        to_go_back_to(records)


def test_a_generation_is_named_by_its_number_and_without_one_the_live_one_is_meant() -> None:
    gone = record(3, GenerationState.ABORTED)
    assert numbered([gone, MADE, LIVE], None) is LIVE
    assert numbered([gone, MADE, LIVE], 2) is MADE
    with pytest.raises(RebuildError, match="generation 3 is aborted: its rows are gone"):
        numbered([gone, MADE, LIVE], 3)
    with pytest.raises(RebuildError, match="there is no generation 4"):
        numbered([gone, MADE, LIVE], 4)


async def test_an_abort_gives_up_the_one_that_is_being_made_and_without_one_says_so() -> None:
    registry = Registry(LIVE, MADE)
    assert (await abort(registry.sides(), who="ann")).id == 2
    with pytest.raises(RebuildError, match="no rebuild is under way; begin one"):
        await abort(registry.sides(), who="ann")
