"""How far a rebuild is: one look, measured. Pure, but for the memory of the pace.

While parts are loaded, their own counts say it; before and after that the ranges do, by how many changes
they are behind. Whatever the service only guesses (how many documents there are, how many changes) makes
a share an estimate, and an estimate never says that something is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from projector.core.pacing import Pace
from projector.core.ranges import FeedRange
from projector.core.states import RangeState
from projector.core.texts import duration
from projector.operations.status import RangeStatus
from projector.ports.generations import FillPart, FillPhase, GenerationRecord, GenerationState

MOST_OF_AN_ESTIMATE = 0.99
UNTOUCHED = "nobody has begun to load it yet: hosts of this version do, or projector rebuild fill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a generation that is being made.

    Attributes:
        parts: of its first load; none where hosts simply read the feed from the beginning.
        ranges: its ranges, lowest keys first. `uncovered`: keys without one.
        documents: how many rows it has, about. `expected`: documents of the container, as it says.
        request_units: that its load has cost so far.
        silent: what did not answer, so that it is unknown.
    """

    record: GenerationRecord
    parts: Sequence[FillPart] = ()
    ranges: Sequence[RangeStatus] = ()
    uncovered: Sequence[FeedRange] = ()
    documents: int | None = None
    expected: int | None = None
    request_units: float | None = None
    silent: Sequence[str] = ()


class Phase(StrEnum):
    """Where a range is on its way."""

    WAITING = "waiting"
    LOADING = "loading"
    LOADED = "loaded"
    FINISHING = "finishing"
    SWEEPING = "sweeping"
    FOLLOWING = "following"


_OF_PART = {
    FillPhase.WAITING: Phase.WAITING,
    FillPhase.LOADING: Phase.LOADING,
    FillPhase.LOADED: Phase.LOADED,
    FillPhase.FINISHING: Phase.FINISHING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeProgress:
    """One range or part.

    Attributes:
        share: from 0 to 1; None is unknown. `estimate`: it rests on a guess of the service.
        gap_changes, lag_seconds: how far it is behind, where it follows.
    """

    feed_range: FeedRange | None
    phase: Phase
    owner: str | None = None
    documents: int | None = None
    expected: int | None = None
    share: float | None = None
    estimate: bool = True
    per_second: float | None = None
    gap_changes: int | None = None
    lag_seconds: float | None = None
    request_units: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """All of it; `waits_for` says what keeps it from being promotable."""

    record: GenerationRecord
    ranges: Sequence[RangeProgress]
    phase: Phase
    documents: int | None = None
    expected: int | None = None
    share: float | None = None
    estimate: bool = True
    per_second: float | None = None
    seconds_left: float | None = None
    request_units: float | None = None
    request_units_forecast: float | None = None
    waits_for: Sequence[str] = field(default_factory=tuple)
    silent: Sequence[str] = ()


class Meter:
    """Measures looks at one generation, one after the other."""

    def __init__(self) -> None:
        """No look was taken yet."""
        self._whole = Pace()
        self._paces: dict[FeedRange, Pace] = {}

    def measured(self, look: Look, *, now: float, lag_seconds: float = 1.0) -> Progress:
        """What the look says, with the pace of late; `now` in seconds of a monotonic clock."""
        ranges = [self._paced(one, now) for one in _ranges(look)]
        documents = _documents(look)
        expected = _expected(look, documents)
        share, estimate = _share(look, ranges, documents, expected)
        if documents is not None:
            self._whole.look(now, documents)
        pace = self._whole.per_second
        left = None
        if documents is not None and expected is not None and estimate:
            left = self._whole.seconds_left(max(0, expected - documents))
        spent = _request_units(look)
        return Progress(
            record=look.record,
            ranges=ranges,
            phase=_phase(look, ranges),
            documents=documents,
            expected=expected,
            share=share,
            estimate=estimate,
            per_second=pace,
            seconds_left=left,
            request_units=spent,
            request_units_forecast=forecast(spent, share),
            waits_for=open_ends(look, lag_seconds=lag_seconds),
            silent=look.silent,
        )

    def _paced(self, one: RangeProgress, now: float) -> RangeProgress:
        if one.feed_range is None or one.documents is None:
            return one
        pace = self._paces.setdefault(one.feed_range, Pace())
        pace.look(now, one.documents)
        return replace(one, per_second=pace.per_second)


def forecast(spent: float | None, share: float | None) -> float | None:
    """What the whole will cost at the price so far; None while nothing tells."""
    if spent is None or not share or share <= 0:
        return None
    return spent / share


def open_ends(look: Look, *, lag_seconds: float) -> Sequence[str]:
    """What keeps a generation from being caught up, in words; empty when it is."""
    if look.silent:
        return tuple(look.silent)
    if look.record.state is GenerationState.FILLING:
        return (_of_parts(look.parts) if look.parts else UNTOUCHED,)
    if not look.ranges:
        return ("no host has taken it up yet",)
    told = [f"keys {keys} have no range" for keys in look.uncovered]
    told += [
        f"range {one.lease_token} {why}"
        for one in look.ranges
        if (why := _behind(one, lag_seconds))
    ]
    return tuple(told)


def _of_parts(parts: Sequence[FillPart]) -> str:
    loaded = sum(one.phase is FillPhase.LOADED for one in parts)
    failed = [one.error for one in parts if one.error is not None]
    if any(one.phase is FillPhase.FINISHING for one in parts) or loaded == len(parts):
        told = "keys and totals are being built"
    else:
        told = f"{loaded} of {len(parts)} parts are loaded"
    return f"{told}: {failed[0]}" if failed else told


def _behind(one: RangeStatus, lag_seconds: float) -> str:
    if one.owner is None:
        return "is read by nobody"
    if not one.opened:
        return "was not opened yet"
    if one.replaying:
        return "is being filled, or its sweep has not ended"
    if one.lag_seconds is None:
        return "is behind by an unknown time"
    if one.lag_seconds > lag_seconds:
        return f"is {duration(one.lag_seconds)} behind"
    return ""


def _ranges(look: Look) -> Sequence[RangeProgress]:
    if look.record.state is GenerationState.FILLING and look.parts:
        return [_of_part(one) for one in look.parts]
    return [_of_range(one) for one in look.ranges]


def _of_part(part: FillPart) -> RangeProgress:
    loaded = part.phase in (FillPhase.LOADED, FillPhase.FINISHING)
    return RangeProgress(
        feed_range=part.feed_range,
        phase=_OF_PART[part.phase],
        owner=part.owner,
        documents=part.documents,
        expected=part.expected,
        share=1.0 if loaded else _part_of(part.documents, part.expected),
        estimate=not loaded,
        request_units=part.request_units,
        error=part.error,
    )


def _of_range(one: RangeStatus) -> RangeProgress:
    done = not one.replaying and one.opened
    share = 1.0 if done else None
    if not done and one.lsn is not None and one.gap_changes is not None:
        share = _part_of(one.lsn, one.lsn + one.gap_changes)
    return RangeProgress(
        feed_range=one.feed_range,
        phase=_phase_of(one),
        owner=one.owner,
        share=share,
        estimate=not done,
        gap_changes=one.gap_changes,
        lag_seconds=one.lag_seconds,
        error=None if one.last_error is None else one.last_error.message,
    )


def _phase_of(one: RangeStatus) -> Phase:
    if not one.opened or one.owner is None:
        return Phase.WAITING
    if one.state is RangeState.SWEEPING:
        return Phase.SWEEPING
    return Phase.LOADING if one.replaying else Phase.FOLLOWING


def _phase(look: Look, ranges: Sequence[RangeProgress]) -> Phase:
    """That of the whole: the earliest of its ranges', loading as soon as one is loaded."""
    found = {one.phase for one in ranges}
    if not found or found == {Phase.WAITING}:
        return Phase.WAITING
    if look.parts and look.record.state is GenerationState.FILLING and found == {Phase.LOADED}:
        return Phase.FINISHING
    for phase in (Phase.WAITING, Phase.LOADING, Phase.LOADED, Phase.FINISHING, Phase.SWEEPING):
        if phase in found:
            return Phase.LOADING if phase in (Phase.WAITING, Phase.LOADED) else phase
    return Phase.FOLLOWING


def _documents(look: Look) -> int | None:
    if look.parts:
        return sum(one.documents for one in look.parts)
    return look.documents if look.documents is not None else look.record.documents


def _expected(look: Look, documents: int | None) -> int | None:
    if look.record.state is not GenerationState.FILLING:
        return None  # what was loaded is behind what there is by now, and that says nothing
    told = [one.expected for one in look.parts if one.expected is not None]
    guess = sum(told) if look.parts and len(told) == len(look.parts) else look.expected
    if guess is None:
        return None
    return max(guess, documents or 0)


def _share(
    look: Look, ranges: Sequence[RangeProgress], documents: int | None, expected: int | None
) -> tuple[float | None, bool]:
    if ranges and not look.uncovered and all(one.share == 1.0 for one in ranges):
        return 1.0, False
    if documents is not None and expected:
        return _part_of(documents, expected), True
    known = [one.share for one in ranges if one.share is not None]
    if not ranges or len(known) < len(ranges):
        return None, True
    return min(MOST_OF_AN_ESTIMATE, sum(known) / len(known)), True


def _part_of(done: int, whole: int | None) -> float | None:
    if not whole:
        return None
    return min(MOST_OF_AN_ESTIMATE, done / whole)


def _request_units(look: Look) -> float | None:
    if look.parts:
        return sum(one.request_units for one in look.parts)
    return look.request_units if look.request_units is not None else look.record.request_units
