from __future__ import annotations

import json

import pytest

from projector.core.errors import FeedRangeGone, SourceRecreated, SourceUnavailable, Throttled
from projector.core.ranges import FeedRange
from projector.cosmos.document_scan import CosmosDocumentScanner
from projector.ports.feed import FeedTarget
from tests.contract.change_source import KEYS, busiest, drain, fill, target_of
from tests.integration.cosmos.support import CART, EmulatedWorld


@pytest.fixture
def scanner(world: EmulatedWorld) -> CosmosDocumentScanner:
    return CosmosDocumentScanner(world.gateway, CART)


async def scanned(scanner: CosmosDocumentScanner, target: FeedTarget) -> list[str]:
    """Ids of all documents of a range, three at a time."""
    ids: list[str] = []
    next_page: str | None = None
    while True:
        page = await scanner.scan(target, next_page, max_documents=3)
        documents = json.loads(page.body)["Documents"]
        assert len(documents) <= 3
        assert page.session_lsn is not None
        ids += [one["id"] for one in documents]
        next_page = page.next_page
        if next_page is None:
            return ids


async def test_scan_of_all_ranges_finds_every_document_once(
    world: EmulatedWorld, scanner: CosmosDocumentScanner
) -> None:
    expected = await fill(world)
    found = [one for target in await world.targets() for one in await scanned(scanner, target)]
    assert sorted(found) == sorted(expected)
    assert len(found) == len(KEYS)


async def test_the_service_says_how_many_documents_there_are(
    world: EmulatedWorld, scanner: CosmosDocumentScanner
) -> None:
    assert await scanner.count() == 0
    await fill(world)
    assert await scanner.count() == len(KEYS)


async def test_scan_of_a_part_stays_in_it(
    world: EmulatedWorld, scanner: CosmosDocumentScanner
) -> None:
    await fill(world)
    physical = await busiest(world)
    low = int(physical.feed_range.min or "0", 16)
    high = int(physical.feed_range.max, 16) if physical.feed_range.max != "FF" else 1 << 126
    middle = f"{(low + high) // 2:032X}"
    parts = [
        FeedRange(min=physical.feed_range.min, max=middle),
        FeedRange(min=middle, max=physical.feed_range.max),
    ]
    halves = [await scanned(scanner, target_of(physical, part)) for part in parts]
    assert sorted(halves[0] + halves[1]) == sorted(await scanned(scanner, target_of(physical)))
    for part, half in zip(parts, halves, strict=True):
        changes, _ = await drain(world.source, target_of(physical, part))
        assert sorted(half) == sorted(one["id"] for one in changes)


async def test_bytes_are_those_the_service_sent(
    world: EmulatedWorld, scanner: CosmosDocumentScanner
) -> None:
    exact = b'"price":1234567890123456789012345678901234567890.10'
    await world.raw(b'{"id":"id","cartId":"key",' + exact + b"}")
    bodies = [
        (await scanner.scan(target, None, max_documents=10)).body
        for target in await world.targets()
    ]
    assert sum(exact in body for body in bodies) == 1


async def test_page_is_one_request_and_may_be_asked_for_again(
    world: EmulatedWorld, scanner: CosmosDocumentScanner
) -> None:
    await fill(world)
    target = target_of(await busiest(world))
    first = await scanner.scan(target, None, max_documents=2)
    before = await world.requests()
    second = await scanner.scan(target, first.next_page, max_documents=2)
    again = await scanner.scan(target, first.next_page, max_documents=2)
    after = await world.requests()
    assert second == again
    assert sum(after.values()) - sum(before.values()) == 2


async def test_split_between_two_pages_ends_the_scan(
    world: EmulatedWorld, scanner: CosmosDocumentScanner
) -> None:
    await fill(world)
    parent = await busiest(world)
    first = await scanner.scan(target_of(parent), None, max_documents=2)
    await world.split(parent.id)
    with pytest.raises(FeedRangeGone):
        await scanner.scan(target_of(parent), first.next_page, max_documents=2)
    with pytest.raises(FeedRangeGone):
        await scanner.scan(target_of(parent), None, max_documents=2)


async def test_trouble_is_told_as_for_the_feed(
    world: EmulatedWorld, scanner: CosmosDocumentScanner
) -> None:
    target = target_of(await busiest(world))
    await scanner.scan(target, None, max_documents=2)
    await world.fault(operation="query_items", status=429, retry_after_ms=10, times=1)
    with pytest.raises(Throttled):
        await scanner.scan(target, None, max_documents=2)
    await world.fault(operation="query_items", action="truncate", times=1)
    with pytest.raises(SourceUnavailable):
        await scanner.scan(target, None, max_documents=2)
    await world.recreate()
    with pytest.raises(SourceRecreated):
        await scanner.scan(target, None, max_documents=2)
