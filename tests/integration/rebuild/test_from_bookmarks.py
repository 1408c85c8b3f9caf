"""A generation that begins at saved bookmarks: what was changed since, and nothing is missed of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from projector.core.bookmarks import SavedPosition, Snapshot
from projector.core.errors import ConfigurationError
from projector.core.names import LeaseToken
from projector.core.start import NOW
from projector.operations.bookmarks import parts_from
from projector.ports.feed import FeedTarget
from projector.postgres.fill_parts import cut_parts
from projector.wiring.opening import Account
from tests.fixtures.emulator import control
from tests.integration.cosmos.support import COLLECTION
from tests.integration.rebuild.support import Site, lines

AGO = 3600


async def saved(reached: Account) -> Snapshot:
    """Where the container stands now, as a copy that is caught up would say an hour ago."""
    time = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=AGO)
    positions = []
    for part in await reached.source.physical_ranges():
        token, keys = LeaseToken(part.id), part.feed_range
        target = FeedTarget(lease_token=token, feed_range=keys, range_id=part.id)
        found = await reached.source.resolve(target, NOW)
        assert found.continuation is not None
        assert found.lsn is not None
        positions.append(
            SavedPosition(
                feed_range=keys, continuation=found.continuation, lsn=found.lsn, time=time
            )
        )
    return Snapshot(
        name="before",
        taken_at=time,
        container_rid=reached.container_rid,
        source=None,
        target_id="id",
        target_name="here",
        positions=tuple(positions),
    )


async def test_only_what_was_changed_since_is_filled_and_nothing_else_is_missed(site: Site) -> None:
    server = site.world.server
    await control(server, "clock", {"offset_seconds": -AGO - 10})
    await site.load(lines(100))
    await control(server, "clock", {"offset_seconds": 0})
    async with site.account() as reached:
        before = await saved(reached)
        ranges = [part.id for part in await reached.source.physical_ranges()]
        await control(server, f"{COLLECTION}/split", {"range": ranges[0]})
        await control(server, f"{COLLECTION}/merge", {"ranges": ranges[-2:]})
        await site.load([{**lines(1)[0], "quantity": 7}, *lines(20, first=200)])
        parts = await parts_from(before, reached.container_rid, reached.source)
    await site.make()
    async with site.connections() as opened, opened.transaction() as session:
        await cut_parts(session, parts)
    filled = await site.fill()
    # Two that were merged begin at the lower position, which brings some that were not changed.
    assert 21 <= filled.documents < 100
    assert {row[1] for row in await site.rows()} >= {
        "line-0",
        *(f"line-{n}" for n in range(200, 220)),
    }
    report = await site.verify()
    assert (report.consistent, report.rows) == (True, filled.documents)
    since = await site.sql("SELECT DISTINCT read_since FROM projector_g2.ranges")
    assert since == [(before.taken_at + timedelta(seconds=1),)]
    for lease in await site.leases():  # a host goes on from there, whatever its START_FROM
        assert (lease.continuation is not None, lease.anchored_from) == (True, None)
    await site.sql("DELETE FROM projector_g2.cart_items WHERE id = 'line-205'")
    assert not (await site.verify()).consistent  # what was asked for is missed


async def test_bookmarks_of_another_container_begin_nothing(site: Site) -> None:
    async with site.account() as reached:
        other = replace(await saved(reached), container_rid="other")
        with pytest.raises(ConfigurationError, match="they say nothing of it"):
            await parts_from(other, reached.container_rid, reached.source)
