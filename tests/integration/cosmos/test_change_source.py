from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cosmos_emulator import EmulatorServer
from projector.core.errors import (
    ConfigurationError,
    ContinuationRefused,
    FeedRangeGone,
    PageTooLarge,
    ProjectorError,
    SourceMissing,
    SourceUnavailable,
    Throttled,
)
from projector.core.names import Continuation
from projector.core.start import NOW, StartFrom, StartKind
from projector.cosmos.wire import Answer
from tests.contract.change_source import KEYS, busiest, documents_of, drain_all, fill, target_of
from tests.integration.cosmos.support import CART, EmulatedWorld, emulated_world

PLENTY = 10_000


@pytest.fixture
async def world(emulator: EmulatorServer) -> AsyncIterator[EmulatedWorld]:
    async with emulated_world(emulator, read_timeout_seconds=1.0) as world:
        yield world


async def test_every_page_is_exactly_one_request(world: EmulatedWorld) -> None:
    await fill(world)
    target = target_of(await busiest(world))
    long_ago = StartFrom(kind=StartKind.TIME, time=datetime(2020, 1, 1, tzinfo=UTC))
    tomorrow = StartFrom(kind=StartKind.TIME, time=world.now() + timedelta(days=1))
    before = await world.requests()
    page = await world.source.read_page(target, None, max_documents=1)
    page = await world.source.read_page(target, page.continuation, max_documents=PLENTY)
    page = await world.source.read_page(target, page.continuation, max_documents=PLENTY)
    assert page.body is None
    for start in (NOW, long_ago, tomorrow):
        await world.source.resolve(target, start)
    after = await world.requests()
    changed = {name: count - before.get(name, 0) for name, count in after.items()}
    assert {name: count for name, count in changed.items() if count} == {"change_feed": 6}


async def test_the_body_of_a_page_is_held_by_whoever_reads_it_alone(world: EmulatedWorld) -> None:
    """The SDK's iterators are cycles: with the body in one, megabytes wait for the collector."""
    await fill(world)
    target = target_of(await busiest(world))
    gc.disable()
    try:
        page = await world.source.read_page(target, None, max_documents=5)
        holders = gc.get_referrers(page.body)
    finally:
        gc.enable()
    assert not [one for one in holders if isinstance(one, Answer)]


@pytest.mark.parametrize(
    ("fault", "expected", "requests"),
    [
        pytest.param({"status": 429, "retry_after_ms": 40}, Throttled, 1, id="429"),
        pytest.param({"status": 429}, Throttled, 1, id="429 without a wait"),
        pytest.param({"status": 400}, PageTooLarge, 1, id="400 that may be the size"),
        pytest.param({"status": 401}, ConfigurationError, 1, id="401"),
        pytest.param({"status": 403}, ConfigurationError, 1, id="403"),
        pytest.param({"status": 403, "substatus": 1008}, SourceUnavailable, 1, id="region moved"),
        pytest.param({"status": 404}, SourceMissing, 1, id="404"),
        pytest.param({"status": 404, "substatus": 1003}, SourceMissing, 1, id="owner missing"),
        pytest.param({"status": 404, "substatus": 1002}, SourceUnavailable, 2, id="session ahead"),
        pytest.param({"status": 413}, PageTooLarge, 1, id="413"),
        pytest.param({"status": 449}, SourceUnavailable, 1, id="449"),
        pytest.param({"status": 503}, SourceUnavailable, 4, id="503"),
        pytest.param({"action": "hang"}, SourceUnavailable, 0, id="hang"),
    ],
)
async def test_trouble_leaves_after_few_requests_and_says_what_it_is(
    world: EmulatedWorld, fault: dict[str, Any], expected: type[ProjectorError], requests: int
) -> None:
    (target, *_) = await world.targets()
    await world.source.read_page(target, None, max_documents=PLENTY)
    await world.fault(operation="change_feed", **fault)
    before = (await world.requests())["change_feed"]
    with pytest.raises(expected) as caught:
        await world.source.read_page(target, None, max_documents=PLENTY)
    assert (await world.requests())["change_feed"] == before + requests
    assert "\n" not in str(caught.value)
    assert world.server.key not in str(caught.value)
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after_seconds == (0.04 if "retry_after_ms" in fault else 0.5)


@pytest.mark.parametrize("action", ["drop", "truncate", "hang"])
async def test_broken_answer_loses_nothing(world: EmulatedWorld, action: str) -> None:
    await fill(world)
    target = target_of(await busiest(world))
    whole = await world.source.read_page(target, None, max_documents=PLENTY)
    await world.fault(operation="change_feed", action=action)
    with pytest.raises(SourceUnavailable):
        await world.source.read_page(target, None, max_documents=PLENTY)
    await world.heal()
    assert len(await drain_all(world.source)) == len(KEYS)
    again = await world.source.read_page(target, None, max_documents=PLENTY)
    assert again.body == whole.body


async def test_call_that_drags_on_ends_at_its_deadline(emulator: EmulatorServer) -> None:
    async with emulated_world(emulator, deadline_seconds=1.0) as world:
        (target, *_) = await world.targets()
        await world.fault(operation="change_feed", action="hang", times=1)
        async with asyncio.timeout(60):
            with pytest.raises(SourceUnavailable, match="in time"):
                await world.source.read_page(target, None, max_documents=PLENTY)
        await world.source.read_page(target, None, max_documents=PLENTY)


@pytest.mark.parametrize("status", [400, 413])
async def test_page_too_large_is_told_by_status_and_by_a_page_of_one_document(
    world: EmulatedWorld, status: int
) -> None:
    await fill(world)
    target = target_of(await busiest(world))
    await world.fault(operation="change_feed", status=status, times=1)
    with pytest.raises(PageTooLarge):
        await world.source.read_page(target, None, max_documents=2)
    await world.source.read_page(target, None, max_documents=1)
    await world.fault(operation="change_feed", status=400)
    with pytest.raises(ConfigurationError, match="malformed"):
        await world.source.read_page(target, None, max_documents=1)


async def test_malformed_place_is_refused_by_the_service_and_named(world: EmulatedWorld) -> None:
    (target, *_) = await world.targets()
    with pytest.raises(ContinuationRefused):
        await world.source.read_page(target, Continuation('"gibberish"'), max_documents=1)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("*", id="means now"),
        pytest.param("", id="empty"),
        pytest.param('"5"\r\nx-evil: 1', id="would break the header"),
        pytest.param("eyJWIjoxLCJSaWQiOiJhIn0=", id="state of the Java SDK"),
    ],
)
async def test_text_that_is_no_place_is_never_sent(world: EmulatedWorld, text: str) -> None:
    (target, *_) = await world.targets()
    before = (await world.requests()).get("change_feed", 0)
    with pytest.raises(ContinuationRefused):
        await world.source.read_page(target, Continuation(text), max_documents=PLENTY)
    assert (await world.requests()).get("change_feed", 0) == before


async def test_ranges_are_listed_afresh_while_others_read(world: EmulatedWorld) -> None:
    """Readers refresh the shared map too, and may take the listing's request from under it."""
    await fill(world)
    parent = await busiest(world)
    targets = await world.targets()

    async def keep_reading() -> None:
        for _ in range(10):
            for target in targets:
                try:
                    await world.source.read_page(target, None, max_documents=1)
                except FeedRangeGone:
                    continue

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(keep_reading())
        await world.split(parent.id)
        listings = [await world.source.physical_ranges() for _ in range(5)]
    assert all(len(listing) == len(targets) + 1 for listing in listings)
    children = [one for one in listings[-1] if parent.id in one.parents]
    assert len(children) == 2


@pytest.mark.parametrize("status", [429, 449])
async def test_ranges_that_cannot_be_listed_are_an_error_not_an_empty_list(
    world: EmulatedWorld, status: int
) -> None:
    await world.source.physical_ranges()
    await world.fault(operation="read_pkranges", status=status)
    with pytest.raises((SourceUnavailable, Throttled)):
        await world.source.physical_ranges()


async def test_page_of_many_documents_of_one_transaction_may_exceed_the_limit(
    world: EmulatedWorld,
) -> None:
    operations: list[Any] = [
        ("upsert", ({"id": f"id-{number}", "cartId": "key"},), {}) for number in range(5)
    ]
    async with world.container() as container:
        await container.execute_item_batch(operations, "key")
    pages = [
        await world.source.read_page(target, None, max_documents=2)
        for target in await world.targets()
    ]
    assert sorted(len(documents_of(page)) for page in pages) == [0, 0, 0, 5]


async def test_range_of_a_container_that_is_gone_is_missing_with_its_name(
    world: EmulatedWorld,
) -> None:
    (target, *_) = await world.targets()
    async with world._writer.database(CART) as database:
        await database.delete_container("cart")
    with pytest.raises(SourceMissing, match="'cart' of database 'acme-webstore'"):
        await world.source.container_rid()
    with pytest.raises(SourceMissing):
        await world.source.read_page(target, None, max_documents=PLENTY)
