"""Saved bookmarks, joined: taken and kept by the target alone, restored with the account opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

from projector.core.bookmarks import Snapshot
from projector.core.errors import ProjectorError
from projector.operations.bookmarks import (
    BackSides,
    GoingBack,
    prepared_reset_to,
    prepared_restore,
)
from projector.operations.leases import Sides
from projector.ports.copy import KeptSnapshot
from projector.ports.feed import Clock
from projector.ports.ranges import StoredRange
from projector.ports.timeline import Kind
from projector.postgres import bookmarks
from projector.postgres.connections import Connections
from projector.postgres.ranges import stored_ranges
from projector.postgres.schema import identity
from projector.settings import Settings
from projector.wiring import database
from projector.wiring.generations import meant
from projector.wiring.opening import Account, Target, account, source_identity, target
from projector.wiring.presence import person


@asynccontextmanager
async def fitting_target(settings: Settings) -> AsyncIterator[Target]:
    """The target, if its schema is the one this program needs. Raises SchemaMismatch."""
    async with target(settings) as reached:
        await database.require_schema(reached.url)
        yield reached


@asynccontextmanager
async def live_target(settings: Settings) -> AsyncIterator[tuple[Target, str]]:
    """The same, its sessions working for the live generation, and whose leases that one has."""
    async with fitting_target(settings) as reached, meant(settings, reached) as live:
        yield replace(reached, connections=live.connections), live.processor_name


async def live_leases(settings: Settings) -> str | None:
    """Whose leases the live generation has; those of the settings while nobody can tell."""
    with suppress(ProjectorError):
        async with live_target(settings) as (_, named):
            return named
    return None


async def sides_of(settings: Settings, opened: Account, reached: Target, *, clock: Clock) -> Sides:
    """Both sides of a command that writes leases."""
    return Sides(
        leases=opened.leases,
        source=opened.source,
        clock=clock,
        expiration_seconds=settings.lease_expiration_seconds,
        found=await reached.copied(),
        target=await identity(reached.connections),
        rid=opened.container_rid,
        identity=source_identity(settings, opened.name),
    )


async def take_snapshot(settings: Settings, name: str, *, clock: Clock) -> Snapshot:
    """The positions of all ranges as they are now; nothing is kept."""
    async with live_target(settings) as (reached, _):
        target_identity = await identity(reached.connections)
        return await bookmarks.take(
            reached.connections, target_identity, name=name, now=clock.now()
        )


async def keep_snapshot(settings: Settings, snapshot: Snapshot, *, over: bool) -> bool:
    """Keeps it in the target; False when there is one of its name, and it may not be written `over`."""
    async with fitting_target(settings) as reached:
        return await bookmarks.keep(reached.connections, snapshot, over=over)


async def kept_snapshots(settings: Settings) -> Sequence[KeptSnapshot]:
    """Those that the target keeps, oldest first."""
    async with fitting_target(settings) as reached:
        return await bookmarks.kept(reached.connections)


async def forget_snapshots(settings: Settings, names: Sequence[str]) -> Sequence[str]:
    """Removes them from the target; answers those that were there."""
    async with fitting_target(settings) as reached:
        return [name for name in names if await bookmarks.forget(reached.connections, name)]


async def find_snapshot(settings: Settings, name: str) -> Snapshot | None:
    """The one that the target keeps under that name."""
    async with fitting_target(settings) as reached:
        return await bookmarks.find(reached.connections, name)


@asynccontextmanager
async def going_back(
    settings: Settings,
    to: Snapshot | datetime,
    *,
    clock: Clock,
    token: str | None,
    from_file: bool = False,
) -> AsyncIterator[GoingBack]:
    """Going back to saved bookmarks or to a time, still to be called off; see `operations.bookmarks`.

    Raises:
        SchemaMismatch: There is no schema yet, so there is nothing to go back from.
    """
    async with (
        live_target(settings) as (reached, named),
        account(settings, clock=clock, processor_name=named) as opened,
    ):
        both = await sides_of(settings, opened, reached, clock=clock)
        told = (
            (Kind.SNAPSHOT_RESTORED, to.name)
            if isinstance(to, Snapshot)
            else (Kind.RESET, token or "")
        )
        sides = BackSides(
            both=both,
            stored=partial(_stored, reached.connections, both.rid),
            go_back=partial(
                bookmarks.go_back, reached.connections, both.rid, told=told, actor=person()
            ),
        )
        if isinstance(to, Snapshot):
            yield await prepared_restore(sides, to, token=token, from_file=from_file)
        else:
            yield await prepared_reset_to(sides, to, token=token)


async def _stored(connections: Connections, rid: str) -> Sequence[StoredRange]:
    async with connections.session() as session:
        return await stored_ranges(session, container_rid=rid, retired=True)
