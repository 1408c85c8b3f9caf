"""A rebuild: which generation is meant, what is refused and how, and the way from its start to its promotion.

A generation is promoted only when it is caught up and equal to the container: compared document by
document, totals recounted. Whatever was true before the comparison is looked at again after it, and the
switch itself looks once more, in its own transaction. Nothing here is kept: whoever is interrupted goes on
from the registry, so every step may be begun again by another process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from projector.core.bookmarks import Snapshot
from projector.core.errors import RebuildError, SinkUnavailable
from projector.operations.rebuild_progress import Look, Meter, Progress, open_ends
from projector.ports.feed import Clock
from projector.ports.generations import (
    BEING_MADE,
    FED,
    FillSource,
    GenerationRecord,
    GenerationState,
)
from projector.projection.definition import Definition

LOOK_SECONDS = 1.0
LONG_AGO = datetime.min.replace(tzinfo=UTC)
SWITCH_ATTEMPTS = 60
"""The switch asks that no batch is ahead of it; under load it may take a few turns."""

OnCompared: TypeAlias = Callable[[Any], object]
"""Told how far a comparison is."""

TO_FOLLOW = "projector rebuild status --watch"
TO_PROMOTE = "projector rebuild promote"
TO_ROLL_BACK = "projector rebuild rollback"
TO_ABORT = "projector rebuild abort"
TO_START = "projector rebuild start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a comparison of a generation with the container found.

    Attributes:
        counts: by their names in `projector verify --json`.
        lines: the documents and totals that differ, and why, the first of them.
    """

    consistent: bool
    counts: Mapping[str, Any]
    lines: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person wants of a new generation.

    Attributes:
        who: `user@machine`; why: in a person's words.
        begins: read the feed from these bookmarks on, not from its beginning; None: from there.
    """

    definition: Definition
    who: str
    why: str | None = None
    source: FillSource = FillSource.FEED
    begins: Snapshot | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What a rebuild needs, reached.

    Attributes:
        records: all generations, newest first.
        would_break: what of other people's a definition could not be brought under, a line each.
        look: one look at a generation that is being made.
        compare: a generation with the container, document by document.
        note_verified: keep what a comparison found.
        promote, roll_back: switch the views, and return ""; or change nothing, and tell for what it waits.
        lag_seconds: a generation that is further behind is not promoted.
    """

    clock: Clock
    lag_seconds: float
    records: Callable[[], Awaitable[Sequence[GenerationRecord]]]
    would_break: Callable[[Definition], Awaitable[Sequence[str]]]
    create: Callable[[Wish], Awaitable[GenerationRecord]]
    look: Callable[[GenerationRecord], Awaitable[Look]]
    compare: Callable[[GenerationRecord, OnCompared], Awaitable[Compared]]
    note_verified: Callable[[GenerationRecord, Mapping[str, Any]], Awaitable[object]]
    promote: Callable[[GenerationRecord, Promotion], Awaitable[str]]
    roll_back: Callable[[GenerationRecord, str], Awaitable[str]]
    abort: Callable[[GenerationRecord, str], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What is kept of a promotion: who, with which outcome of the comparison, and against which reasons."""

    who: str
    counts: Mapping[str, Any]
    against: Sequence[str] = ()

    @property
    def forced(self) -> bool:
        """Whether something spoke against it."""
        return bool(self.against)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says of a generation; `against` is empty when it may be promoted."""

    record: GenerationRecord
    compared: Compared
    against: Sequence[str] = field(default_factory=tuple)

    @property
    def open(self) -> bool:
        """Whether it may be promoted."""
        return not self.against


def live_of(records: Sequence[GenerationRecord]) -> GenerationRecord:
    """The generation that the views read.

    Raises:
        RebuildError: There is none.
    """
    for one in records:
        if one.state is GenerationState.LIVE:
            return one
    raise RebuildError(
        "no generation is live: the database was not made by this program; see projector db current"
    )


def numbered(records: Sequence[GenerationRecord], number: int | None) -> GenerationRecord:
    """The generation of that number; None: the live one.

    Raises:
        RebuildError: There is none, or its rows are gone.
    """
    if number is None:
        return live_of(records)
    for one in records:
        if one.id == number:
            if one.state in FED:
                return one
            raise RebuildError(f"generation {number} is {one.state}: its rows are gone")
    raise RebuildError(f"there is no generation {number}; see: projector rebuild list")


def being_made(records: Sequence[GenerationRecord]) -> GenerationRecord | None:
    """The generation of the rebuild that is under way; at most one is."""
    return next((one for one in records if one.state in BEING_MADE), None)


def meant(records: Sequence[GenerationRecord]) -> GenerationRecord:
    """The generation to promote, to abort, to look at.

    Raises:
        RebuildError: No rebuild is under way.
    """
    found = being_made(records)
    if found is None:
        raise RebuildError(f"no rebuild is under way; begin one: {TO_START}")
    return found


def refuse_second(records: Sequence[GenerationRecord]) -> None:
    """Raise RebuildError when a rebuild is under way already."""
    found = being_made(records)
    if found is not None:
        raise RebuildError(
            f"a rebuild is under way already: generation {found.id} is {found.state}{begun(found)};"
            f" follow it: {TO_FOLLOW}; make it live: {TO_PROMOTE}; give it up: {TO_ABORT}"
        )


def former_of(records: Sequence[GenerationRecord]) -> GenerationRecord | None:
    """The generation that one may go back to: the one of those that are fed still that was live last."""
    former = [one for one in records if one.state is GenerationState.FORMER]
    return max(former, key=lambda one: one.live_until or LONG_AGO, default=None)


def to_go_back_to(records: Sequence[GenerationRecord]) -> GenerationRecord:
    """The same.

    Raises:
        RebuildError: There is none.
    """
    former = former_of(records)
    if former is not None:
        return former
    retired = [one.id for one in records if one.state is GenerationState.RETIRED]
    gone = f"generation {max(retired)} is no longer fed" if retired else "there is no former one"
    raise RebuildError(
        f"generation {live_of(records).id} is live, and {gone}: nothing to go back to; a new one is made by:"
        f" {TO_START}"
    )


def begun(record: GenerationRecord) -> str:
    """Since when and by whom, as far as it is known."""
    since = "" if record.created_at is None else f" since {record.created_at:%Y-%m-%d %H:%M:%SZ}"
    return since + (f", begun by {record.who}" if record.who else "")


async def start(sides: Sides, wish: Wish) -> GenerationRecord:
    """Make a new generation, empty; hosts fill it. Nothing is touched before it may be.

    Raises:
        RebuildError: Another one is under way, or something would break.
    """
    await may_start(sides, wish.definition)
    return await sides.create(wish)


async def may_start(sides: Sides, definition: Definition) -> GenerationRecord:
    """Look at what is under way, and at what other people built on the views; returns the live one.

    Raises:
        RebuildError: Another one is under way, or something would break; it is told what.
    """
    records = await sides.records()
    refuse_second(records)
    live = live_of(records)
    broken = await sides.would_break(definition)
    if broken:
        raise RebuildError(
            "nothing was begun, because the new definition would break: " + "; ".join(broken)
        )
    return live


async def caught_up(
    sides: Sides, *, generation: int, tell: Callable[[Progress], object]
) -> GenerationRecord:
    """Wait until a generation is filled and follows closely, and tell how far it is meanwhile.

    Raises:
        RebuildError: It was given up meanwhile.
    """
    meter = Meter()
    while True:
        record = await still_made(sides, generation)
        try:
            look = await sides.look(record)
        except SinkUnavailable:
            await sides.clock.sleep(LOOK_SECONDS)
            continue
        now = sides.clock.monotonic()
        tell(meter.measured(look, now=now, lag_seconds=sides.lag_seconds))
        if not open_ends(look, lag_seconds=sides.lag_seconds):
            return look.record
        await sides.clock.sleep(LOOK_SECONDS)


async def still_made(sides: Sides, generation: int) -> GenerationRecord:
    """The generation as it is now.

    Raises:
        RebuildError: It is being made no longer.
    """
    while True:
        try:
            records = await sides.records()
        except SinkUnavailable:
            await sides.clock.sleep(LOOK_SECONDS)
            continue
        for one in records:
            if one.id == generation:
                if one.state in BEING_MADE:
                    return one
                raise RebuildError(
                    f"generation {generation} is {one.state} by now; see: projector rebuild list"
                )
        raise RebuildError(f"there is no generation {generation} any more")


async def judged(
    sides: Sides, record: GenerationRecord, *, on_compared: OnCompared = lambda progress: None
) -> Verdict:
    """Compare the generation with the container, and say what speaks against its promotion.

    Raises: as `Sides.compare`.
    """
    compared = await sides.compare(record, on_compared)
    await sides.note_verified(record, compared.counts)
    fresh = await still_made(sides, record.id)
    return Verdict(record=fresh, compared=compared, against=against(compared))


AGAINST = (
    ("missing", "document is missing", "documents are missing"),
    ("extra", "row is of no document", "rows are of no document"),
    ("stale", "row is not as its document", "rows are not as their documents"),
    ("totals_wrong", "total is not what the rows say", "totals are not what the rows say"),
    ("pending", "difference nobody brings yet", "differences nobody brings yet"),
    (
        "before_start",
        "document is older than where it began to read, and is not in it",
        "documents are older than where it began to read, and are not in it",
    ),
)


def against(compared: Compared) -> Sequence[str]:
    """What of a comparison speaks against a promotion, the gravest first."""
    counts = compared.counts
    told = [
        f"{counts[name]:,} {one if counts[name] == 1 else many}"
        for name, one, many in AGAINST
        if counts.get(name)
    ]
    return told if told or compared.consistent else ["it is not equal to the container"]


async def promote(
    sides: Sides,
    verdict: Verdict,
    *,
    who: str,
    tell: Callable[[Progress], object],
    waits: Callable[[str], object] = lambda reason: None,
) -> Promotion:
    """Make it live: the views read it from then on.

    1. It is caught up now, after the comparison. 2. The switch, which looks once more; it is tried again
    while a batch of the live one is ahead, or a reader holds a view, and `waits` is told so.

    Raises:
        RebuildError: It was given up meanwhile, or the switch has waited too long.
    """
    promotion = Promotion(who=who, counts=verdict.compared.counts, against=verdict.against)

    async def switch() -> str:
        record = await caught_up(sides, generation=verdict.record.id, tell=tell)
        return await sides.promote(record, promotion)

    await _switched(sides, switch, waits, again=TO_PROMOTE)
    return promotion


async def _switched(
    sides: Sides,
    switch: Callable[[], Awaitable[str]],
    waits: Callable[[str], object],
    *,
    again: str,
) -> None:
    """Try until it succeeds; readers would queue behind one that waits, so each try is short."""
    reason = ""
    for _ in range(SWITCH_ATTEMPTS):
        reason = await switch()
        if not reason:
            return
        waits(reason)
        await sides.clock.sleep(LOOK_SECONDS)
    raise RebuildError(f"nothing was switched: {reason}; once more: {again}")


async def roll_back(
    sides: Sides, *, who: str, waits: Callable[[str], object] = lambda reason: None
) -> tuple[GenerationRecord, GenerationRecord]:
    """Make the former generation live again; returns it, and the one that was live.

    Raises:
        RebuildError: There is none that is fed still, or the switch has waited too long.
    """
    records = await sides.records()
    former = to_go_back_to(records)
    await _switched(sides, lambda: sides.roll_back(former, who), waits, again=TO_ROLL_BACK)
    return former, live_of(records)


async def abort(sides: Sides, *, who: str) -> GenerationRecord:
    """Give up the generation that is being made; the live one is not touched.

    Raises:
        RebuildError: No rebuild is under way.
    """
    record = meant(await sides.records())
    await sides.abort(record, who)
    return record
