"""A rebuild: the way of a generation from its start to its promotion, and back.

A generation is promoted only when it is caught up and equal to the container: compared document by
document, totals recounted. Whatever was true before the comparison is looked at again after it, and the
switch itself looks once more, in its own transaction. Nothing here is kept: whoever is interrupted goes on
from the registry, so every step may be begun again by another process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from projector.core.bookmarks import Snapshot
from projector.core.errors import RebuildError, SchemaMismatch, SinkUnavailable
from projector.operations.generations import (
    TO_PROMOTE,
    TO_ROLL_BACK,
    live_of,
    meant,
    refuse_second,
    to_go_back_to,
)
from projector.operations.rebuild_progress import Look, Meter, Progress, open_ends
from projector.ports.feed import Clock
from projector.ports.generations import BEING_MADE, FillSource, GenerationRecord, GenerationState
from projector.projection.definition import Definition
from projector.projection.definition_text import definition_hash

LOOK_SECONDS = 1.0
SWITCH_ATTEMPTS = 60
"""The switch asks that no batch is ahead of it; under load it may take a few turns."""


OnCompared: TypeAlias = Callable[[Any], object]
"""Told how far a comparison is."""


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
        promote, roll_back: switch the views, and return ""; or tell for what it waits. Where the switch is
            done, by whomever, only what follows it is left.
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


async def start(
    sides: Sides, wish: Wish, *, waits: Callable[[str], object] = lambda reason: None
) -> GenerationRecord:
    """Make a new generation, empty; hosts fill it. Nothing is touched before it may be.

    One that nobody has confirmed may be there all the same: the registry says so. `waits` is told why it is
    asked.

    Raises:
        RebuildError: Another one is under way, or something would break.
    """
    await may_start(sides, wish.definition)
    try:
        return await sides.create(wish)
    except SinkUnavailable as error:
        waits(str(error))
        for one in await registered(sides):  # none was being made before
            if one.state in BEING_MADE and _is_wished(one, wish):
                return one
        raise


def _is_wished(made: GenerationRecord, wish: Wish) -> bool:
    """Whether it is what was asked for; somebody else's of this moment seldom is."""
    asked = (wish.who, wish.why, wish.source, definition_hash(wish.definition))
    return (made.who, made.why, made.source, made.definition_hash) == asked


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
        except SchemaMismatch:
            await still_made(sides, generation)  # whoever gives it up drops its tables
            raise
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
    for one in await registered(sides):
        if one.id == generation:
            if one.state in BEING_MADE:
                return one
            raise RebuildError(
                f"generation {generation} is {one.state} by now; see: projector rebuild list"
            )
    raise RebuildError(f"there is no generation {generation} any more")


async def registered(sides: Sides) -> Sequence[GenerationRecord]:
    """All generations, newest first; PostgreSQL is waited for."""
    while True:
        try:
            return await sides.records()
        except SinkUnavailable:
            await sides.clock.sleep(LOOK_SECONDS)


async def judged(
    sides: Sides, record: GenerationRecord, *, on_compared: OnCompared = lambda progress: None
) -> Verdict:
    """Compare the generation with the container, and say what speaks against its promotion.

    Raises: as `Sides.compare`; RebuildError: it was given up meanwhile.
    """
    try:
        compared = await sides.compare(record, on_compared)
    except SchemaMismatch:
        await still_made(sides, record.id)
        raise
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
    while a batch of the live one is ahead, or a reader holds a view, and `waits` is told so. A switch that
    nobody has confirmed may be done all the same: the registry says so, and it is not tried again.

    Raises:
        RebuildError: It was given up meanwhile, or the switch has waited too long.
    """
    promotion = Promotion(who=who, counts=verdict.compared.counts, against=verdict.against)
    number = verdict.record.id

    async def switch() -> str:
        try:
            record = await caught_up(sides, generation=number, tell=tell)
        except RebuildError:
            record = live_of(await registered(sides))
            if record.id != number:
                raise
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

    async def switch() -> str:
        await registered(sides)  # whoever gave up here would not know whether to type it again
        return await sides.roll_back(former, who)

    await _switched(sides, switch, waits, again=TO_ROLL_BACK)
    return former, live_of(records)


async def abort(
    sides: Sides, *, who: str, waits: Callable[[str], object] = lambda reason: None
) -> GenerationRecord:
    """Give up the generation that is being made; the live one is not touched.

    What nobody has confirmed may be done all the same, as in `start`.

    Raises:
        RebuildError: No rebuild is under way.
    """
    record = meant(await sides.records())
    try:
        await sides.abort(record, who)
    except SinkUnavailable as error:
        waits(str(error))
        if (record.id, GenerationState.ABORTED) not in {
            (one.id, one.state) for one in await registered(sides)
        }:
            raise
    return record
