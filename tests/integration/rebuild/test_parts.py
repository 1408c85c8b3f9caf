"""Parts are fenced: whoever is slow or uncertain neither loses nor doubles what is loaded."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from projector.core.errors import FencedOut, SinkUnavailable
from projector.core.lease import Lease
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.start import Position
from projector.ports.filling import Load, Part
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.filling import FillParts
from tests.carts import project_page
from tests.integration.rebuild.support import Site
from tests.unit.projection import documents

ANCHOR = Position(continuation=Continuation('"99"'), lsn=99)


def whole(token: str = "0", keys: FeedRange = FULL_RANGE) -> Lease:
    return Lease(id=token, token=LeaseToken(token), feed_range=keys)


def load(*ids: str, place: str = '"5"', item: str = "Mug", last: bool = False) -> Load:
    told = [
        documents.document(f'"id":"{one}","cartId":"a","item":"{item}"', lsn=number)
        for number, one in enumerate(ids, 1)
    ]
    page = project_page(documents.page(told))
    return Load(
        writes=page.writes,
        rejections=page.rejections,
        place=place,
        last=last,
        documents=len(ids),
        request_units=2.5,
    )


@pytest.fixture
async def connections(site: Site) -> AsyncIterator[Connections]:
    await site.make()
    async with site.connections() as opened:
        yield opened


def held_by(site: Site, connections: Connections, owner: str, **options: float) -> FillParts:
    return FillParts(
        connections,
        generation=site.generation,
        container_rid="rid",
        owner=InstanceName(owner),
        **options,
    )


async def claimed(parts: FillParts) -> Part:
    part = await parts.claim()
    assert part is not None
    return part


async def test_a_part_is_held_by_one_process_until_it_is_silent_for_too_long(
    site: Site, connections: Connections
) -> None:
    slow = held_by(site, connections, "slow", hold_seconds=0.0)
    fast = held_by(site, connections, "fast")
    await slow.cut([whole()], expected=10)
    await slow.cut([whole("1")], expected=10)  # there are parts already
    first = await claimed(slow)
    first = await slow.write(first, load("1"))
    second = await claimed(fast)
    assert await fast.claim() is None
    assert (second.place, second.batches) == ('"5"', 1)
    assert second.epoch != first.epoch
    for late in (
        slow.write(first, load("2")),
        slow.hold(first, error=None),
        slow.anchor(first, ANCHOR),
        slow.begin_anew(first, range_id=None),
        slow.replace(first, [whole("1")], anew=False),
    ):
        with pytest.raises(FencedOut):
            await late
    await slow.release(first, error="late")
    await fast.write(second, load("2", last=True))
    assert await fast.left() == 0
    assert [row[1] for row in await site.rows()] == ["1", "2"]


async def test_what_was_committed_without_an_answer_is_not_written_again(
    site: Site, connections: Connections
) -> None:
    parts = held_by(site, connections, "one")
    await parts.cut([whole()], expected=None)
    part = await claimed(parts)
    assert await parts.write(part, load("1")) == await parts.write(part, load("1"))
    [told] = await site.parts()
    assert (len(await site.rows()), told.documents, told.request_units) == (1, 1, 2.5)


async def test_a_commit_that_a_failover_lost_is_seen(site: Site, connections: Connections) -> None:
    """A standby took over without the last commit: rows and place went with it."""
    parts = held_by(site, connections, "one")
    await parts.cut([whole()], expected=None)
    part = await claimed(parts)
    lost = await parts.write(part, load("1"))
    await site.sql("UPDATE projector_g2.fill_parts SET batches = 0, place = NULL")
    await site.sql("DELETE FROM projector_g2.cart_items")
    with pytest.raises(FencedOut):
        await parts.write(lost, load("2", place='"6"'))
    await parts.write(part, load("1", "2", place='"6"'))
    assert [row[1] for row in await site.rows()] == ["1", "2"]


async def test_a_released_part_goes_on_where_it_was(site: Site, connections: Connections) -> None:
    parts = held_by(site, connections, "one")
    await parts.cut([whole()], expected=None)
    part = await parts.anchor(await claimed(parts), ANCHOR)
    part = await parts.write(part, load("1"))
    await parts.release(part, error="throttled")
    [told] = await site.parts()
    assert (told.owner, told.error) == (None, "throttled")
    again = await claimed(parts)
    assert (again.anchor, again.place, again.lineage) == (ANCHOR, '"5"', 0)


async def test_a_document_that_the_server_refuses_costs_itself(
    site: Site, connections: Connections
) -> None:
    await site.sql("ALTER TABLE projector_g2.cart_items ADD CONSTRAINT refusing CHECK (id <> '3')")
    parts = held_by(site, connections, "one")
    await parts.cut([whole()], expected=None)
    await parts.write(await claimed(parts), load("1", "2", "3", "4", "5"))
    assert [row[1] for row in await site.rows()] == ["1", "2", "4", "5"]
    [entry] = await site.sql(
        "SELECT document_id, reason, sqlstate, status FROM projector_g2.quarantine"
    )
    assert entry == ("3", "refused_by_target", "23514", "open")


async def test_children_of_a_part_go_on_from_its_place_or_begin_anew(
    site: Site, connections: Connections
) -> None:
    children = [
        whole("1", FeedRange(min="", max="2")),
        whole("2", FeedRange(min="2", max="FF")),
    ]
    parts = held_by(site, connections, "one")
    await parts.cut([whole()], expected=10)
    part = await parts.anchor(await claimed(parts), ANCHOR)
    part = await parts.write(part, load("1"))
    await parts.replace(part, children, anew=False)
    told = await site.parts()
    assert [(one.documents, one.expected, one.request_units) for one in told] == [
        (1, 5, 2.5),
        (0, 5, 0.0),
    ]
    first, second = await claimed(parts), await claimed(parts)
    assert {(one.place, one.anchor, one.lineage) for one in (first, second)} == {('"5"', ANCHOR, 0)}
    await parts.replace(second, [second.lease], anew=True)
    begun = await claimed(parts)
    assert (begun.place, begun.anchor, begun.lineage) == (None, None, 1)
    begun = await parts.begin_anew(begun, range_id="7")
    assert (begun.lineage, begun.lease.properties) == (2, {"rangeId": "7"})


async def test_a_process_that_was_stopped_while_it_copies_holds_nothing_up(site: Site) -> None:
    """It holds the row of its part, and acknowledges every packet."""
    await site.make()
    options = ConnectionOptions(
        url=site.url, control=site.generation.control, lease_expiration_seconds=0.4
    )
    async with Connections(options) as hasty, site.connections() as patient:
        stopped = held_by(site, patient, "stopped", hold_seconds=0.0)
        fresh = held_by(site, hasty, "fresh")
        await stopped.cut([whole()], expected=None)
        part = await claimed(stopped)
        with pytest.raises(SinkUnavailable):
            await stops_while_it_copies(patient, fresh)
        found = await claimed(fresh)
        assert found.part_id == part.part_id
        assert found.epoch != part.epoch


async def stops_while_it_copies(connections: Connections, others: FillParts) -> None:
    """Holds the row of its part until its session is ended for others."""
    async with connections.transaction() as session, session.cursor() as cursor:
        await session.execute("UPDATE fill_parts SET documents = 7")
        async with cursor.copy("COPY projector_g2.cart_items FROM STDIN"):
            while (part := await others.claim()) is None:
                assert await others.left() == 1
            await others.release(part, error=None)
