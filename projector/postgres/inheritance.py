"""What a range that is opened takes over from the ranges stored before it. Pure.

Every key of the container has at most one holder: the stored range that was opened last among
those that cover it. A range whose keys all have one holder goes on from that holder's position, in
its lineage, with its replay: so it is after a split, at any point of it. Keys of several holders, or
of none, mean that no stored position is good for all of them: then the range starts without one, in a
lineage above all it touches, so that LSNs which cannot be compared never are.

A range that was opened before and lost its keys to finer ones of the same processor was split: it is
only there to finish that. Tokens of physical ranges never come back; those of key ranges may, and
another processor's ranges are no split of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from projector.core.bookmarks import held
from projector.core.ranges import FeedRange, uncovered
from projector.ports.feed import RangeClaim
from projector.ports.ranges import StoredRange
from projector.ports.timeline import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopen:
    """The range is stored and still holds its keys."""

    stored: StoredRange


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishSplit:
    """The range was split away; nothing is to be changed."""

    stored: StoredRange


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver:
    """All keys have this one holder: go on from its position."""

    holder: StoredRange


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFresh:
    """No stored position is good for all keys."""

    lineage: int


Inheritance = Reopen | FinishSplit | TakeOver | StartFresh


def decide_inheritance(claim: RangeClaim, overlapping: Sequence[StoredRange]) -> Inheritance:
    """Choose, given every stored range that overlaps the claim, of whatever container.

    Ranges of another container lend nothing; but their rows are there, and lose to the new ones.
    """
    exact = next((stored for stored in overlapping if is_same(claim, stored)), None)
    if exact is not None and not exact.retired:
        return Reopen(stored=exact)
    holders = holders_of(
        claim.feed_range, [one for one in overlapping if one.container_rid == claim.container_rid]
    )
    if exact is not None and _was_split(claim, exact, holders):
        return FinishSplit(stored=exact)
    if len(holders) == 1 and not uncovered(claim.feed_range, [holders[0].feed_range]):
        return TakeOver(holder=holders[0])
    lineage = max((stored.lineage for stored in overlapping), default=-1) + 1
    return StartFresh(lineage=lineage)


def news_of(
    claim: RangeClaim, decision: Inheritance, before: Sequence[StoredRange]
) -> Iterator[tuple[Kind, str, Mapping[str, Any]]]:
    """What an opening is to a person: a lease that changed hands, or a merge."""
    match decision:
        case Reopen(stored=stored) if claim.taken_from and stored.owner != claim.owner:
            taken = claim.taken_from
            kind = Kind.LEASE_TAKEN_OVER if taken.expired else Kind.LEASE_MOVED
            yield (
                kind,
                claim.lease_token,
                {"from": taken.name, **of_generation(claim.processor_name)},
            )
        case StartFresh():
            merged = [
                one
                for one in holders_of(claim.feed_range, before)
                if one.container_rid == claim.container_rid and one.feed_range != claim.feed_range
            ]
            if len(merged) > 1 and all(claim.feed_range.covers(one.feed_range) for one in merged):
                told = {"from": _tokens(merged), **of_generation(claim.processor_name)}
                yield Kind.MERGE, claim.lease_token, told
        case _:
            return


def of_generation(processor_name: str) -> Mapping[str, int]:
    """Which generation's leases they are; nothing of the first, which is most often the only one."""
    number = processor_name.rpartition("@g")[2]
    return {"generation": int(number)} if "@g" in processor_name and number.isdecimal() else {}


def split_of(
    claim: RangeClaim, parent: StoredRange, after: Sequence[StoredRange]
) -> Iterator[tuple[Kind, str, Mapping[str, Any]]]:
    """The split of a range, once its last part was opened; `after` are all ranges that share its keys."""
    parts = holders_of(
        parent.feed_range, [one for one in after if one.container_rid == parent.container_rid]
    )
    if len(parts) > 1 and all(part.range_id != parent.range_id for part in parts):
        told = {"into": _tokens(parts), **of_generation(claim.processor_name)}
        yield Kind.SPLIT, parent.lease_token, told


def _tokens(ranges: Sequence[StoredRange]) -> list[str]:
    return [one.lease_token for one in sorted(ranges, key=lambda one: one.feed_range)]


def holders_of(whole: FeedRange, stored: Sequence[StoredRange]) -> Sequence[StoredRange]:
    """Those stored ranges that hold some key of `whole`, newest first."""
    return [holder for holder, _ in held(whole, stored)]


def is_same(claim: RangeClaim, stored: StoredRange) -> bool:
    """Whether the claim is for this very row: bounds and lease token."""
    return (stored.container_rid, stored.feed_range, stored.lease_token) == (
        claim.container_rid,
        claim.feed_range,
        claim.lease_token,
    )


def _was_split(claim: RangeClaim, exact: StoredRange, holders: Sequence[StoredRange]) -> bool:
    others = [holder for holder in holders if holder.range_id != exact.range_id]
    if any(holder.processor_name != claim.processor_name for holder in others):
        return False
    if claim.lease_token != str(claim.feed_range):
        return bool(others)
    return bool(others) and all(
        claim.feed_range.covers(holder.feed_range) and holder.feed_range != claim.feed_range
        for holder in others
    )
