"""Going back to bookmarks that were saved, or to a time: decided here, fenced in the target, then told to leases.

The target goes first: from its commit on no running host commits after its old position, and every opening
starts at the lower of bookmark and position. So a crash before the leases are written costs nothing, and
leases that are written later lose nothing either. Leases that are not there any more are made again,
with their bookmarks: without one the next host would begin at START_FROM.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from projector.core.bookmarks import Move, SavedPosition, Snapshot, held, moves, refuse_forward
from projector.core.coverage import missing_leases, range_of
from projector.core.errors import ConfigurationError
from projector.core.lease import DELIVERED_PROPERTY, START_FROM_PROPERTY, Lease, put_back
from projector.core.names import LeaseToken
from projector.core.ranges import FeedRange
from projector.core.start import StartFrom, StartKind
from projector.operations.leases import Done, Sides, change, chosen
from projector.operations.strangers import refuse_strangers
from projector.ports.feed import ChangeSource, FeedTarget, PhysicalRange
from projector.ports.ranges import StoredRange

NEVER_COPIED = "nothing is copied yet, so there is nothing to go back from: start a host first"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackSides:
    """Both sides, with what going back asks of the target.

    Attributes:
        stored: every stored range of the container, those that were split away included.
        go_back: commit that these keys are read on from there; None: all of them.
    """

    both: Sides
    stored: Callable[[], Awaitable[Sequence[StoredRange]]]
    go_back: Callable[[Snapshot, Sequence[FeedRange] | None], Awaitable[Sequence[Move]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoingBack:
    """It may still be looked at or called off.

    Attributes:
        snapshot: where to.
        moves: what becomes of the ranges, as they are now.
        leases: those that get another bookmark, with it.
        missing: leases that are made again.
        keys: those concerned; None: all.
    """

    sides: BackSides
    snapshot: Snapshot
    moves: Sequence[Move]
    leases: Sequence[tuple[Lease, SavedPosition]]
    missing: Sequence[Lease]
    keys: Sequence[FeedRange] | None

    async def carry_out(self) -> Sequence[Done]:
        """Does it: 1. the target, fenced, all or nothing; 2. the leases there are; 3. those that are not.

        Raises:
            ConfigurationError: By now a range would go forward; nothing was changed.
        """
        await self.sides.go_back(self.snapshot, self.keys)
        now, store = self.sides.both.clock.now(), self.sides.both.leases
        done = [
            await change(
                store,
                lease,
                lambda fresh, to=position.continuation: put_back(fresh, to, now=now),  # type: ignore[misc]  # bound per turn
            )
            for lease, position in self.leases
        ]
        made = [
            Done(lease=lease, changed=await store.create(replace(lease, timestamp=now)))
            for lease in self.missing
        ]
        return [*done, *made]


async def prepared_restore(
    sides: BackSides, snapshot: Snapshot, *, token: str | None, from_file: bool
) -> GoingBack:
    """Looks at what a restore would change; nothing is written before `carry_out`.

    Args:
        sides: both of them, reached.
        snapshot: where to.
        token: of the one lease meant; None means all.
        from_file: it was not kept by the target, so it may be of another one.

    Raises:
        ConfigurationError: It is a snapshot of something else, or a range would go forward, or a
            host keeps a lease for another database.
        SourceRecreated, OtherSource, ProjectionChanged: What is copied is not what the settings say.
    """
    _refuse_others(sides.both, snapshot, from_file=from_file)
    return await _prepared(sides, snapshot, token)


async def prepared_reset_to(sides: BackSides, time: datetime, *, token: str | None) -> GoingBack:
    """Looks at what reading on from a time would change; nothing is written before `carry_out`.

    Raises: as `prepared_restore`; FeedRangeGone: a range was split this moment, try again.
    """
    _refuse_other_copy(sides.both)
    physical = await sides.both.source.physical_ranges()
    if token is not None:
        keys = await sides.both.keys_of(chosen(await sides.both.leases.list_leases(), token))
        physical = [p for p in physical if any(p.feed_range.overlaps(one) for one in keys)]
    positions = [await _position_at(sides.both.source, part, time) for part in physical]
    snapshot = Snapshot(
        name="",
        taken_at=time,
        container_rid=sides.both.rid,
        source=sides.both.identity.name,
        target_id=sides.both.target.id,
        target_name=sides.both.target.name,
        positions=tuple(positions),
    )
    return await _prepared(sides, snapshot, token)


async def _position_at(source: ChangeSource, part: PhysicalRange, time: datetime) -> SavedPosition:
    target = FeedTarget(
        lease_token=LeaseToken(part.id), feed_range=part.feed_range, range_id=part.id
    )
    found = await source.resolve(target, StartFrom(kind=StartKind.TIME, time=time))
    if found.continuation is None or found.lsn is None:
        raise ConfigurationError(
            f"the service tells no position in partition {part.id} that could be compared: use"
            " leases reset without --to"
        )
    return SavedPosition(
        feed_range=part.feed_range,
        continuation=found.continuation,
        lsn=found.lsn,
        time=time,
        since=time,
    )


async def _prepared(sides: BackSides, snapshot: Snapshot, token: str | None) -> GoingBack:
    listed = await sides.both.leases.list_leases()
    leases = chosen(listed, token)
    refuse_strangers(
        leases, sides.both.target, clock=sides.both.clock, expiration=sides.both.expiration_seconds
    )
    physical, stored = await sides.both.source.physical_ranges(), await sides.stored()
    if not stored:
        raise ConfigurationError(NEVER_COPIED)
    told = [(lease, range_of(lease, physical)) for lease in leases]
    known = [(lease, keys) for lease, keys in told if keys is not None]
    wanted = None if token is None else [keys for _, keys in known]
    planned = moves(stored, snapshot, wanted)
    refuse_forward(planned)
    return GoingBack(
        sides=sides,
        snapshot=snapshot,
        moves=planned,
        leases=[(lease, snapshot.position_of(keys)) for lease, keys in known],
        missing=_missing(physical, listed, snapshot, stored) if token is None else (),
        keys=wanted,
    )


def _missing(
    physical: Sequence[PhysicalRange],
    listed: Sequence[Lease],
    snapshot: Snapshot,
    stored: Sequence[StoredRange],
) -> Sequence[Lease]:
    """The leases of keys that have none, as a host would make them, but with their bookmarks."""
    return [
        Lease(
            id=str(part.token),
            token=part.token,
            version=part.version,
            feed_range=part.feed_range,
            continuation=snapshot.position_of(part.feed_range).continuation,
            properties=_properties(part.feed_range, stored),
        )
        for part in missing_leases(physical, listed)
    ]


def _properties(keys: FeedRange, stored: Sequence[StoredRange]) -> Mapping[str, str]:
    """What the lease has to say of its start, where that was not the beginning."""
    times = [one.read_since for one, _ in held(keys, stored) if one.read_since is not None]
    if not times:
        return {}
    return {START_FROM_PROPERTY: max(times).isoformat(), DELIVERED_PROPERTY: "true"}


def _refuse_other_copy(both: Sides) -> None:
    if both.found is None:
        raise ConfigurationError(NEVER_COPIED)
    both.found.refuse_other(both.rid, both.identity)
    both.found.refuse_other_projection(both.identity)


def _refuse_others(both: Sides, snapshot: Snapshot, *, from_file: bool) -> None:
    _refuse_other_copy(both)
    _refuse_other_container(snapshot, both.rid, both.source)
    if from_file and snapshot.target_id != both.target.id:
        raise ConfigurationError(
            f"the bookmarks of {snapshot.name!r} were saved for another database, {snapshot.target_id}"
            f" {snapshot.target_name}, this one is {both.target}: set PROJECTOR_DATABASE_URL; if the"
            " database was moved here, restore by the name under which it keeps them"
        )


def _refuse_other_container(snapshot: Snapshot, rid: str, source: ChangeSource) -> None:
    if snapshot.container_rid != rid:
        of = "" if snapshot.source is None else f" ({snapshot.source})"
        raise ConfigurationError(
            f"the bookmarks of {snapshot.name!r} are of the container with _rid"
            f" {snapshot.container_rid}{of}, what is copied here has _rid {rid}: they say nothing of"
            " it; take new ones with leases snapshot"
        )
    for position in snapshot.positions:
        if source.lsn_of(position.continuation) != position.lsn:
            raise ConfigurationError(
                f"the bookmark of {position.feed_range} in {snapshot.name!r} is not that of LSN {position.lsn}:"
                " it was changed"
            )


async def parts_from(snapshot: Snapshot, rid: str, source: ChangeSource) -> Sequence[Lease]:
    """The parts of a generation that begins there: the leases that will follow them, with bookmarks.

    Each says since when its documents are asked for: the second after the newest one that lies before
    its position, since a `_ts` does not tell documents of one second apart.

    Raises:
        ConfigurationError: It is a snapshot of another container, or was changed.
    """
    _refuse_other_container(snapshot, rid, source)
    made = []
    for part in missing_leases(await source.physical_ranges(), []):
        position = snapshot.position_of(part.feed_range)
        since = (
            None if position.time is None else (position.time + timedelta(seconds=1)).isoformat()
        )
        made.append(
            Lease(
                id=str(part.token),
                token=part.token,
                version=part.version,
                feed_range=part.feed_range,
                continuation=position.continuation,
                properties={} if since is None else {START_FROM_PROPERTY: since},
            )
        )
    return made
