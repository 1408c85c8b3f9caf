"""From suspicion to drift: what still differs once the tables had every chance to follow.

A document differs from its row for a moment after every change. So each suspicion is decided in
turns: (1) wait until the range has come to where the document was read; (2) read the document;
(3) wait until the range has come to where that answer stands; (4) compare again. A row that is
newer than the answer decides nothing and takes another turn. When the range does not move, the feed
tells what it has yet to bring. What is left is drift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from projector.core.names import Continuation
from projector.ports.feed import ChangeSource, FeedTarget
from projector.ports.ranges import StoredRange
from projector.ports.rows import DocumentKey, DriftKind, Verdict
from projector.ports.verification import Comparison, Difference
from projector.projection.identity import can_be_asked_for
from projector.projection.project import Projection
from projector.reconcile.answers import read_answers
from projector.reconcile.parts import RangeWatch
from projector.reconcile.reads import Reads
from projector.reconcile.repair import Repair, is_newer
from projector.reconcile.report import Tally

TURNS = 8
DIGEST = "\\sha256:"

Version = tuple[int | None, int | None]


class Backlog:
    """The changes of one part behind its committed position."""

    def __init__(
        self,
        *,
        source: ChangeSource,
        comparison: Comparison,
        target: FeedTarget,
        reads: Reads,
        page_size: int,
        projection: Projection,
    ) -> None:
        """Nothing is read before the first question."""
        self._source = source
        self._comparison = comparison
        self._target = target
        self._reads = reads
        self._page_size = page_size
        self._projection = projection
        self._reached: Continuation | None = None

    async def holding(
        self, stored: StoredRange | None, keys: Sequence[DocumentKey]
    ) -> frozenset[DocumentKey]:
        """Those of these documents that changed after `position`. Raises FeedRangeGone."""
        if stored is None or not stored.started or stored.continuation is None:
            return frozenset(keys)
        await self._read_on(self._reached or stored.continuation)
        return await self._comparison.in_backlog(keys)

    async def _read_on(self, start: Continuation) -> None:
        continuation = start
        while True:
            page = await self._reads.until_done(
                lambda after=continuation: self._source.read_page(  # type: ignore[misc]  # bound per turn
                    self._target, after, max_documents=self._page_size
                )
            )
            continuation = self._reached = page.continuation
            if page.body is None:
                return
            await self._comparison.remember_backlog(self._projection.page(page.body))


@dataclass(slots=True, kw_only=True)
class Suspects:
    """Documents that may be wrong, and where they were read; one set at a time."""

    keys: dict[DocumentKey, Difference | None] = field(default_factory=dict)
    lsn: int = 0
    session_token: str | None = None

    def add(
        self, found: Sequence[Difference], *, lsn: int | None, session_token: str | None
    ) -> None:
        """Add what one page raised."""
        self.keys.update({one.key: one for one in found})
        self.read_at(lsn=lsn, session_token=session_token)

    def read_at(self, *, lsn: int | None, session_token: str | None) -> None:
        """Note where the part's newest page was read."""
        if lsn is not None and lsn >= self.lsn:
            self.lsn, self.session_token = lsn, session_token

    def taken(self) -> Mapping[DocumentKey, Difference | None]:
        """All of them that can be asked for; afterwards there are none."""
        taken = {key: one for key, one in self.keys.items() if can_be_asked_for(key.partition_key)}
        self.keys.clear()
        return taken

    def take_missing(self) -> Sequence[DocumentKey]:
        """Those that the tables do not know at all; they are suspects no more."""
        missing = [
            key
            for key, one in self.keys.items()
            if one is not None and one.kind is DriftKind.MISSING
        ]
        for key in missing:
            del self.keys[key]
        return missing

    def unreadable(self) -> Sequence[Difference]:
        """Those whose key names no document; a digest of bytes cannot be compared across reads."""
        return [
            one
            for key, one in self.keys.items()
            if one is not None
            and not can_be_asked_for(key.partition_key)
            and not (key.id.startswith(DIGEST) or key.partition_key.startswith(DIGEST))
        ]


@dataclass(slots=True, kw_only=True)
class _Turn:
    """What one turn left open: too new to tell, different, or not to be read."""

    newer: list[Difference]
    different: list[Difference]
    verdicts: Mapping[DocumentKey, Verdict]
    unread: Mapping[DocumentKey, str]
    reached: bool
    stored: StoredRange | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmer:
    """Confirms suspects of one part, and mends them when it has a repair."""

    comparison: Comparison
    watch: RangeWatch
    backlog: Backlog
    mending: Repair
    repair: bool
    tally: Tally

    async def confirm(self, suspects: Suspects) -> None:
        """Count all suspects as drift, pending, before the start, or nothing; none is left.

        Raises:
            FeedRangeGone: The part has to begin anew.
        """
        if not suspects.keys:
            return
        if await self.watch.stored() is None:
            # Nobody has read these keys yet: asking for each document would tell the same slowly.
            self.tally.pending += len(suspects.take_missing())
            if not suspects.keys:
                return
        await self.watch.reached(suspects.lsn)
        await self._confirm_unreadable(suspects.unreadable())
        await self._take_turns(suspects.taken(), suspects.session_token)

    async def _take_turns(
        self, suspects: Mapping[DocumentKey, Difference | None], session_token: str | None
    ) -> None:
        keys = list(suspects)
        ahead: dict[DocumentKey, Version] = {}
        for number in range(TURNS):
            if not keys:
                return
            turn = await self._turn(keys, session_token)
            self._give_up(suspects, turn.unread)
            await self._decide(turn, turn.different, session_token)
            if number == TURNS - 1:
                # Newer than every answer, turn after turn: either it changes all the time, or its
                # version is one that the container never gave.
                still = [one for one in turn.newer if ahead.get(one.key) == _version(one)]
                await self._decide(turn, still, session_token)
                self.tally.changing += len(turn.newer) - len(still)
            ahead = {one.key: _version(one) for one in turn.newer}
            keys = list(ahead)

    async def _turn(self, keys: Sequence[DocumentKey], session_token: str | None) -> _Turn:
        answers = await read_answers(self.mending.judge, keys, session_token=session_token)
        found = answers.verdicts
        verdicts = {one.key: one for one in found}
        reached = await self.watch.reached(max((one.lsn for one in found), default=0))
        stored = await self.watch.stored()
        different = await self.comparison.compare(found)
        newer = [one for one in different if is_newer(one, stored, verdicts[one.key])]
        rest = [one for one in different if one not in newer]
        return _Turn(
            newer=newer,
            different=rest,
            verdicts=verdicts,
            unread=answers.unread,
            reached=reached,
            stored=stored,
        )

    def _give_up(
        self, suspects: Mapping[DocumentKey, Difference | None], unread: Mapping[DocumentKey, str]
    ) -> None:
        """What the container does not tell is not known to be right, so it is wrong."""
        drift = []
        for key, reason in unread.items():
            suspected = suspects[key]
            kind = DriftKind.EXTRA if suspected is None else suspected.kind
            drift.append(Difference(key=key, kind=kind, detail=f"it cannot be read: {reason}"))
        self.tally.add_drift(drift)
        if self.repair:
            self.tally.add_unmended(drift)

    async def _decide(
        self, turn: _Turn, different: Sequence[Difference], session_token: str | None
    ) -> None:
        if not different:
            return
        pending = await self._pending(turn, different)
        old = {one.key for one in different if _is_before_start(one, turn)} - pending
        drift = [one for one in different if one.key not in pending | old]
        self.tally.pending += len(pending)
        self.tally.before_start += len(old)
        self.tally.add_drift(drift)
        if self.repair and drift and turn.stored is not None:
            left = await self.mending.mend(
                self.comparison, turn.stored, drift, session_token=session_token
            )
            self.tally.repaired += len(drift) - len(left)
            self.tally.add_unmended(left)

    async def _pending(
        self, turn: _Turn, different: Sequence[Difference]
    ) -> frozenset[DocumentKey]:
        """What the feed, or the sweep of an open replay, has yet to bring."""
        swept = frozenset(
            one.key
            for one in different
            if one.kind is DriftKind.EXTRA
            and turn.stored is not None
            and turn.stored.replaying
            and _is_absent(turn.verdicts[one.key])
        )
        if turn.reached:
            return swept
        keys = [one.key for one in different]
        return swept | await self.backlog.holding(turn.stored, keys)

    async def _confirm_unreadable(self, found: Sequence[Difference]) -> None:
        """Nothing can be asked about these; that they are in no quarantine is wrong by itself."""
        if not found:
            return
        stored = await self.watch.stored()
        missing = set(await self.comparison.without_entry([one.key for one in found]))
        pending = await self.backlog.holding(stored, list(missing))
        drift = [one for one in found if one.key in missing - pending]
        self.tally.pending += len(pending)
        self.tally.add_drift(drift)
        if self.repair:
            self.tally.add_unmended(drift)


def _version(difference: Difference) -> Version:
    return difference.lineage, difference.lsn


def _is_absent(verdict: Verdict) -> bool:
    """Whether the container has no such document at all; a marker is a document."""
    absent = verdict.write is None or (verdict.write.deleted and not verdict.write.etag)
    return absent and verdict.rejection is None


def _is_before_start(difference: Difference, turn: _Turn) -> bool:
    """Whether nothing is known of a document that is older than what was asked for."""
    verdict = turn.verdicts[difference.key]
    since = None if turn.stored is None else turn.stored.read_since
    if since is None or difference.lineage is not None:
        return False
    if difference.kind is not DriftKind.MISSING:
        return False
    changed = verdict.rejection or verdict.write
    return changed is not None and changed.ts < since.timestamp()
