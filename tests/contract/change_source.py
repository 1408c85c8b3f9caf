"""What every `ChangeSource` must do, the real one and the fakes alike.

A subclass offers the fixture `world`: a container of several physical ranges, empty at first,
whose documents are written through it. Documents have `id` and a partition key.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

import pytest

from projector.core.errors import (
    CredentialExpired,
    FeedError,
    FeedRangeGone,
    PageTooLarge,
    SourceRecreated,
    SourceUnavailable,
    Throttled,
)
from projector.core.names import Continuation, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange, uncovered
from projector.core.start import BEGINNING, NOW, StartFrom, StartKind
from projector.ports.feed import ChangeSource, FeedTarget, Page, PhysicalRange

KEYS = [f"key-{number}" for number in range(24)]
"""Enough partition keys to reach every range."""


class Trouble(StrEnum):
    """What can befall the next read of the feed; the one after it succeeds again."""

    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    PAGE_TOO_LARGE = "page_too_large"
    CREDENTIAL_EXPIRED = "credential_expired"


TROUBLES: dict[Trouble, type[FeedError]] = {
    Trouble.THROTTLED: Throttled,
    Trouble.UNAVAILABLE: SourceUnavailable,
    Trouble.PAGE_TOO_LARGE: PageTooLarge,
    Trouble.CREDENTIAL_EXPIRED: CredentialExpired,
}
RETRY_AFTER_SECONDS = 0.25
"""The wait that a throttled world asks for."""


class SourceWorld(Protocol):
    """The container behind the source under test."""

    source: ChangeSource

    def now(self) -> datetime:
        """The service's time."""

    async def write(self, key: str, document_id: str, **fields: object) -> None:
        """Create or replace a document with that partition key."""

    async def delete(self, key: str, document_id: str) -> None:
        """Delete a document outright."""

    async def split(self, range_id: str) -> None:
        """Split a physical range in two."""

    async def merge(self, range_ids: Sequence[str]) -> None:
        """Merge two neighbours into one."""

    async def recreate(self) -> None:
        """Delete the container and create an empty one under its name."""

    async def disturb(self, trouble: Trouble) -> None:
        """Let the next read of the feed fail so, once."""


def target_of(physical: PhysicalRange, feed_range: FeedRange | None = None) -> FeedTarget:
    """The whole of a physical range, or a part of it."""
    bounds = feed_range or physical.feed_range
    return FeedTarget(lease_token=LeaseToken(physical.id), feed_range=bounds, range_id=physical.id)


def documents_of(page: Page) -> list[dict[str, Any]]:
    if page.body is None:
        return []
    documents: list[dict[str, Any]] = json.loads(page.body)["Documents"]
    return documents


async def drain(
    source: ChangeSource,
    target: FeedTarget,
    after: Continuation | None = None,
    *,
    max_documents: int = 3,
) -> tuple[list[dict[str, Any]], Page]:
    """All changes of one range after a place, and the page that had none."""
    changes: list[dict[str, Any]] = []
    position = after
    while True:
        page = await source.read_page(target, position, max_documents=max_documents)
        if page.body is None:
            return changes, page
        changes += documents_of(page)
        position = page.continuation


async def drain_all(
    source: ChangeSource, after: Mapping[str, Continuation | None] | None = None
) -> list[dict[str, Any]]:
    """All changes of all ranges, each after its own place; range by range."""
    places = after or {}
    return [
        change
        for physical in await source.physical_ranges()
        for change in (await drain(source, target_of(physical), places.get(physical.id)))[0]
    ]


async def fill(world: SourceWorld) -> set[str]:
    """One document per key; returns their ids."""
    for key in KEYS:
        await world.write(key, f"document of {key}", number=1)
    return {f"document of {key}" for key in KEYS}


async def busiest(world: SourceWorld) -> PhysicalRange:
    """The range with the most changes."""
    ranges = await world.source.physical_ranges()
    counts = {one.id: len((await drain(world.source, target_of(one)))[0]) for one in ranges}
    return max(ranges, key=lambda one: counts[one.id])


class ChangeSourceContract:
    """Subclass it with a fixture `world`."""

    async def test_physical_ranges_cover_every_key_without_overlap(
        self, world: SourceWorld
    ) -> None:
        ranges = [one.feed_range for one in await world.source.physical_ranges()]
        assert len(ranges) > 1
        assert not uncovered(FULL_RANGE, ranges)
        assert ranges == sorted(ranges)
        assert all(not a.overlaps(b) for a, b in itertools.pairwise(ranges))

    async def test_empty_range_has_no_body_but_a_place(self, world: SourceWorld) -> None:
        (physical, *_) = await world.source.physical_ranges()
        page = await world.source.read_page(target_of(physical), None, max_documents=10)
        assert page.body is None
        assert page.size_bytes == 0
        assert page.continuation
        assert page.lsn == world.source.lsn_of(page.continuation)

    async def test_every_document_is_delivered_once_in_order_of_change(
        self, world: SourceWorld
    ) -> None:
        expected = await fill(world)
        seen: list[str] = []
        for physical in await world.source.physical_ranges():
            changes, _ = await drain(world.source, target_of(physical))
            assert [one["_lsn"] for one in changes] == sorted(one["_lsn"] for one in changes)
            seen += [one["id"] for one in changes]
        assert sorted(seen) == sorted(expected)

    async def test_only_the_newest_version_is_delivered(self, world: SourceWorld) -> None:
        for number in range(3):
            await world.write("key", "document", number=number)
        assert [one["number"] for one in await drain_all(world.source)] == [2]

    async def test_deleted_document_is_absent(self, world: SourceWorld) -> None:
        await fill(world)
        await world.delete(KEYS[0], f"document of {KEYS[0]}")
        assert len(await drain_all(world.source)) == len(KEYS) - 1

    async def test_reading_on_after_a_place_brings_only_what_came_later(
        self, world: SourceWorld
    ) -> None:
        await fill(world)
        places = {
            one.id: (await drain(world.source, target_of(one)))[1].continuation
            for one in await world.source.physical_ranges()
        }
        assert await drain_all(world.source, places) == []
        await world.write(KEYS[3], "late", number=7)
        assert [one["id"] for one in await drain_all(world.source, places)] == ["late"]

    async def test_page_is_bounded_by_max_documents_and_tells_its_size(
        self, world: SourceWorld
    ) -> None:
        await fill(world)
        target = target_of(await busiest(world))
        page = await world.source.read_page(target, None, max_documents=2)
        assert len(documents_of(page)) == 2
        assert page.document_count in {2, None}
        assert page.size_bytes == len(page.body or b"")

    async def test_place_is_a_number_not_above_the_session_lsn(self, world: SourceWorld) -> None:
        await fill(world)
        target = target_of(await busiest(world))
        page = await world.source.read_page(target, None, max_documents=2)
        assert page.lsn is not None
        assert page.lsn == documents_of(page)[-1]["_lsn"]
        assert page.session_lsn is not None
        assert page.lsn < page.session_lsn
        assert page.session_token

    async def test_lsn_of_understands_the_place_of_a_page_and_nothing_else(
        self, world: SourceWorld
    ) -> None:
        assert world.source.lsn_of(Continuation('"1543"')) == 1543
        assert world.source.lsn_of(Continuation("eyJWIjoxfQ==")) is None

    async def test_now_is_a_concrete_place_even_when_nothing_happens(
        self, world: SourceWorld
    ) -> None:
        await fill(world)
        anchors = {
            one.id: await world.source.resolve(target_of(one), NOW)
            for one in await world.source.physical_ranges()
        }
        places = {range_id: anchor.continuation for range_id, anchor in anchors.items()}
        assert all(
            anchor.continuation and anchor.lsn == world.source.lsn_of(anchor.continuation)
            for anchor in anchors.values()
        )
        assert await drain_all(world.source, places) == []
        await world.write(KEYS[5], "late", number=7)
        assert [one["id"] for one in await drain_all(world.source, places)] == ["late"]

    @pytest.mark.parametrize(
        ("after", "everything"),
        [
            pytest.param(timedelta(days=-1), True, id="yesterday brings all"),
            pytest.param(timedelta(days=-739_000), True, id="the oldest time brings all"),
            pytest.param(timedelta(days=1), False, id="tomorrow brings none of today"),
        ],
    )
    async def test_time_is_a_place_before_the_first_change_since(
        self, world: SourceWorld, after: timedelta, *, everything: bool
    ) -> None:
        await fill(world)
        start = StartFrom(kind=StartKind.TIME, time=(world.now() + after).astimezone(UTC))
        places = {
            one.id: (await world.source.resolve(target_of(one), start)).continuation
            for one in await world.source.physical_ranges()
        }
        assert len(await drain_all(world.source, places)) == (len(KEYS) if everything else 0)

    async def test_beginning_has_no_place(self, world: SourceWorld) -> None:
        (physical, *_) = await world.source.physical_ranges()
        with pytest.raises(ValueError, match="beginning"):
            await world.source.resolve(target_of(physical), BEGINNING)

    async def test_split_parent_is_gone_and_children_go_on_at_its_place(
        self, world: SourceWorld
    ) -> None:
        await fill(world)
        parent = await busiest(world)
        first = await world.source.read_page(target_of(parent), None, max_documents=2)
        rest, _ = await drain(world.source, target_of(parent), first.continuation)
        await world.split(parent.id)
        for position in (None, first.continuation):
            with pytest.raises(FeedRangeGone):
                await world.source.read_page(target_of(parent), position, max_documents=10)
        children = [one for one in await world.source.physical_ranges() if parent.id in one.parents]
        assert not uncovered(parent.feed_range, (one.feed_range for one in children))
        on: list[str] = []
        for child in children:
            changes, _ = await drain(world.source, target_of(child), first.continuation)
            on += [one["id"] for one in changes]
        assert sorted(on) == sorted(one["id"] for one in rest)

    async def test_part_of_a_merged_range_does_not_widen(self, world: SourceWorld) -> None:
        await fill(world)
        left, right, *_ = await world.source.physical_ranges()
        before = {
            one.id: [change["id"] for change in (await drain(world.source, target_of(one)))[0]]
            for one in (left, right)
        }
        await world.merge([left.id, right.id])
        with pytest.raises(FeedRangeGone):
            await world.source.read_page(target_of(left), None, max_documents=10)
        (merged,) = [
            one
            for one in await world.source.physical_ranges()
            if {left.id, right.id} <= set(one.parents)
        ]
        for old in (left, right):
            changes, _ = await drain(world.source, target_of(merged, old.feed_range))
            assert sorted(one["id"] for one in changes) == sorted(before[old.id])

    async def test_target_in_a_range_that_does_not_hold_it_is_gone(
        self, world: SourceWorld
    ) -> None:
        left, right, *_ = await world.source.physical_ranges()
        with pytest.raises(FeedRangeGone):
            await world.source.read_page(target_of(left, right.feed_range), None, max_documents=10)

    async def test_recreated_container_is_noticed_and_named(self, world: SourceWorld) -> None:
        await fill(world)
        old = await world.source.container_rid()
        physical = await busiest(world)
        page = await world.source.read_page(target_of(physical), None, max_documents=2)
        await world.recreate()
        with pytest.raises(SourceRecreated) as caught:
            await world.source.read_page(target_of(physical), page.continuation, max_documents=2)
        new = await world.source.container_rid()
        assert (caught.value.expected_rid, caught.value.found_rid) == (old, new)
        assert old != new
        with pytest.raises(SourceRecreated):  # and stays so
            await world.source.read_page(target_of(physical), None, max_documents=2)

    @pytest.mark.parametrize("trouble", list(Trouble))
    async def test_trouble_costs_no_change(self, world: SourceWorld, trouble: Trouble) -> None:
        await fill(world)
        physical = await busiest(world)
        target = target_of(physical)
        expected, _ = await drain(world.source, target)
        await world.disturb(trouble)
        with pytest.raises(TROUBLES[trouble]) as caught:
            await world.source.read_page(target, None, max_documents=3)
        if isinstance(caught.value, Throttled):
            assert caught.value.retry_after_seconds == RETRY_AFTER_SECONDS
        assert (await drain(world.source, target))[0] == expected

    async def test_rebuilt_source_reads_on(self, world: SourceWorld) -> None:
        await fill(world)
        await world.source.rebuild()
        assert len(await drain_all(world.source)) == len(KEYS)
