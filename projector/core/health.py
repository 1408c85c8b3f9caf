"""Whether the copy can be believed now: the one definition of health.

`projector health`, `/readyz`, the metrics and the page judge by this, and by nothing else. What
nobody knows is never fine: a fact counts only while somebody who reads the range has just told
it, and keys that nobody reads make the whole unknown.
Why: docs/explanation/lag.md, "health".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from projector.core.names import InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.states import RangeState
from projector.core.texts import duration

WAIT_SECONDS = 10.0
"""A declared wait that short is a hiccup: the range counts as behind, not as standing still."""

STILL_SECONDS = 60.0
"""A range without an answered read, or behind without a commit, for that long does not advance."""


COMPLETE = "complete and current"


class Health(StrEnum):
    """What can be said of a range or of the whole."""

    CURRENT = "current"
    BEHIND = "behind"
    NOT_ADVANCING = "not_advancing"
    UNKNOWN = "unknown"

    @property
    def words(self) -> str:
        """As people say it."""
        return COMPLETE if self is Health.CURRENT else self.value.replace("_", " ")


GRAVEST_FIRST = (Health.UNKNOWN, Health.NOT_ADVANCING, Health.BEHIND, Health.CURRENT)

_PARKED = {
    RangeState.SOURCE_RECREATED: "the container is another one than the copied one",
    RangeState.FENCED_OUT: "a newer epoch took the range from its host",
    RangeState.STOPPED: "no host reads it",
}
_WAITS = {
    RangeState.WAITING_FOR_TARGET: "PostgreSQL does not take its changes",
    RangeState.WAITING_FOR_SOURCE: "Cosmos DB does not answer",
    RangeState.THROTTLED: "Cosmos DB throttles it",
    RangeState.STARTING: "it is being opened",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is still healthy.

    Attributes:
        lag_seconds: a range behind by more is not.
        still_seconds: see STILL_SECONDS; longer where reads are rarer.
        expiration_seconds: after so long without a word an owner counts as gone.
    """

    lag_seconds: float = 300.0
    still_seconds: float = STILL_SECONDS
    expiration_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeFacts:
    """What is known of one range now; None is unknown.

    Attributes:
        lease_token: None for keys that no range covers.
        opened: rows of it have a position: reading has begun at some time.
        heard: its present owner has told its condition just now.
        heard_seconds: since anybody told of it.
        state, state_seconds: what the owner does, and since when.
        gap_changes, lag_seconds: how far the rows are behind.
        read_age_seconds, commit_age_seconds: since the last answered read and the last commit, or
            since the range is known when there was none.
        complete_age_seconds: since its rows were last known to be complete.
        replaying: it is being read again, or its sweep has not ended.
    """

    lease_token: LeaseToken | None
    feed_range: FeedRange | None
    read_age_seconds: float
    commit_age_seconds: float
    owner: InstanceName | None = None
    opened: bool = False
    heard: bool = False
    heard_seconds: float | None = None
    state: RangeState | None = None
    state_seconds: float = 0.0
    gap_changes: int | None = None
    lag_seconds: float | None = None
    complete_age_seconds: float | None = None
    replaying: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One judgement; `seconds` bounds how far the rows are behind, None when nothing does."""

    health: Health
    reason: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A range and its verdict."""

    facts: RangeFacts
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The whole: the gravest verdict, why, and whether it is within the limits."""

    health: Health
    reason: str
    healthy: bool
    ranges: Sequence[Judged] = field(default_factory=tuple)


def judge(facts: RangeFacts, limits: Limits) -> Verdict:
    """One range. A short wait is a hiccup; a long one, or silence, is told as what it is."""
    for rule in (_unread, _parked, _still):
        verdict = rule(facts, limits)
        if verdict is not None:
            return verdict
    if facts.gap_changes == 0 and not facts.replaying and facts.state is RangeState.READING:
        return Verdict(health=Health.CURRENT, reason=COMPLETE, seconds=0.0)
    return _behind(facts, limits)


def diagnose(
    ranges: Sequence[RangeFacts], *, limits: Limits, silent: Sequence[str] = ()
) -> Diagnosis:
    """All of it.

    Args:
        ranges: every range of the container, and every stretch of keys without one.
        limits: what is still healthy.
        silent: why something could not be asked; then the whole is unknown.
    """
    judged = [Judged(facts=facts, verdict=judge(facts, limits)) for facts in ranges]
    if silent:
        return _unknown(silent[0], judged)
    if all(one.facts.lease_token is None for one in judged):
        return _unknown("there are no ranges yet: no host has started", judged)
    verdicts = [one.verdict for one in judged]
    worst = next(
        health for health in GRAVEST_FIRST if any(one.health is health for one in verdicts)
    )
    concerned = [one for one in verdicts if one.health is worst]
    concerned.sort(key=lambda one: -(one.seconds or 0.0))
    reason = concerned[0].reason
    if worst is not Health.CURRENT:
        reason = f"{len(concerned)} of {len(judged)} ranges: {reason}"
    return Diagnosis(
        health=worst,
        reason=reason,
        healthy=all(_within(one, limits) for one in verdicts),
        ranges=judged,
    )


def _unknown(reason: str, judged: Sequence[Judged]) -> Diagnosis:
    return Diagnosis(health=Health.UNKNOWN, reason=reason, healthy=False, ranges=judged)


def _within(verdict: Verdict, limits: Limits) -> bool:
    if verdict.health is Health.BEHIND:
        return verdict.seconds is not None and verdict.seconds <= limits.lag_seconds
    return verdict.health is Health.CURRENT


def _unread(facts: RangeFacts, limits: Limits) -> Verdict | None:
    """Nobody reads it, or nobody says that he does."""
    if facts.lease_token is None:
        return Verdict(health=Health.UNKNOWN, reason=f"no host reads {_keys(facts.feed_range)}")
    if facts.heard:
        return None
    if facts.owner is None:
        known = Health.NOT_ADVANCING if facts.opened else Health.UNKNOWN
        return Verdict(health=known, reason=f"no host reads it, {_waiting(facts)}")
    if facts.heard_seconds is None:
        return Verdict(health=Health.UNKNOWN, reason=f"its owner {facts.owner} never reported")
    silence = f"its owner {facts.owner} has said nothing for {duration(facts.heard_seconds)}"
    gone = facts.heard_seconds > limits.expiration_seconds
    return Verdict(
        health=Health.NOT_ADVANCING if gone else Health.UNKNOWN,
        reason=f"{silence}, {_waiting(facts)}",
    )


def _parked(facts: RangeFacts, _limits: Limits) -> Verdict | None:
    state = facts.state
    if state in _PARKED:
        return Verdict(health=Health.NOT_ADVANCING, reason=_PARKED[state])
    if state in _WAITS and facts.state_seconds > WAIT_SECONDS:
        return Verdict(
            health=Health.NOT_ADVANCING,
            reason=f"{_WAITS[state]}, for {duration(facts.state_seconds)}",
        )
    return None


def _still(facts: RangeFacts, limits: Limits) -> Verdict | None:
    """It says that it reads, and does not move."""
    if facts.read_age_seconds > limits.still_seconds and facts.state is RangeState.READING:
        return Verdict(
            health=Health.NOT_ADVANCING,
            reason=f"no read of it was answered for {duration(facts.read_age_seconds)}",
        )
    complete = facts.complete_age_seconds
    uncommitted = min(facts.commit_age_seconds, math.inf if complete is None else complete)
    if facts.gap_changes and uncommitted > limits.still_seconds:
        return Verdict(
            health=Health.NOT_ADVANCING,
            reason=f"{facts.gap_changes} changes wait, and none was committed for"
            f" {duration(uncommitted)}",
        )
    return None


def _behind(facts: RangeFacts, limits: Limits) -> Verdict:
    seconds = facts.complete_age_seconds if facts.lag_seconds is None else facts.lag_seconds
    what = _WAITS.get(facts.state) if facts.state is not None else None
    if facts.replaying:
        what = "it is being read from its start"
    if what is None:
        what = _waiting(facts)
    if seconds is None and not facts.replaying:
        return Verdict(health=Health.UNKNOWN, reason=f"{what}, how old its rows are is unknown")
    if seconds is None:
        return Verdict(health=Health.BEHIND, reason=what)
    beyond = f", more than the {limits.lag_seconds:g} s allowed"
    reason = f"{what}, its rows are at most {duration(seconds)} old"
    return Verdict(
        health=Health.BEHIND,
        reason=reason + (beyond if seconds > limits.lag_seconds else ""),
        seconds=seconds,
    )


def _waiting(facts: RangeFacts) -> str:
    match facts.gap_changes:
        case None:
            return "how much waits is unknown"
        case 0:
            return "nothing waits"
        case 1:
            return "1 change waits"
        case gap:
            return f"{gap} changes wait"


def _keys(feed_range: FeedRange | None) -> str:
    return "some of the keys" if feed_range is None else f"the keys {feed_range}"
