"""One test per known trap of azure-cosmos 4.17.1, T1 to T9; the code names them by these numbers."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import partial

import pytest
from azure.core.credentials import AccessToken

from cosmos_emulator.entra import Entra
from projector.core.errors import (
    ConfigurationError,
    CredentialExpired,
    FeedRangeGone,
    ProjectorError,
    SourceRecreated,
)
from projector.core.names import Continuation
from projector.core.ranges import FeedRange
from projector.core.start import NOW, StartFrom, StartKind
from projector.cosmos.change_source import CosmosChangeSource
from projector.cosmos.client import REFUSED_CLIENTS, CosmosGateway
from projector.ports.feed import PhysicalRange
from tests.contract.change_source import KEYS, busiest, documents_of, drain, fill, target_of
from tests.fixtures.emulator import running_emulator
from tests.integration.cosmos.support import CART, EmulatedWorld, account_of, emulated_world

PLENTY = 10_000


async def test_t1_start_at_a_time_becomes_a_place_that_another_process_reads_on_from(
    world: EmulatedWorld,
) -> None:
    await world.write("key", "early")
    await world.advance(100)
    since = world.now() - timedelta(seconds=50)
    await world.write("key", "late")
    start = StartFrom(kind=StartKind.TIME, time=since)
    found: list[str] = []
    for target in await world.targets():
        anchor = await world.source.resolve(target, start)
        async with CosmosGateway(account_of(world.server)) as fresh:
            page = await CosmosChangeSource(fresh, CART).read_page(
                target, anchor.continuation, max_documents=PLENTY
            )
        found += [one["id"] for one in documents_of(page)]
    assert found == ["late"]


async def test_t2_now_without_any_change_survives_a_restart(world: EmulatedWorld) -> None:
    await world.write("key", "before")
    anchors = {
        target.range_id: (await world.source.resolve(target, NOW)).continuation
        for target in await world.targets()
    }
    await world.write("key", "while stopped")
    async with CosmosGateway(account_of(world.server)) as fresh:
        source = CosmosChangeSource(fresh, CART)
        found = [
            one["id"]
            for physical in await source.physical_ranges()
            for one in (await drain(source, target_of(physical), anchors[physical.id]))[0]
        ]
    assert found == ["while stopped"]


async def test_t3_sixteen_ranges_at_once_never_cross_their_places() -> None:
    async with running_emulator(partitions=16) as server, emulated_world(server) as world:
        for number in range(320):
            await world.write(f"key-{number}", f"id-{number}")
        targets = await world.targets()
        assert len(targets) == 16
        alone = {one.range_id: (await drain(world.source, one))[0] for one in targets}

        async def follow(index: int) -> None:
            target, place, seen = targets[index], None, []
            while True:
                page = await world.source.read_page(target, place, max_documents=1)
                assert (page.session_token or "").startswith(f"{target.range_id}:")
                if page.body is None:
                    break
                (change,) = documents_of(page)
                assert page.lsn == change["_lsn"]
                seen.append(change)
                place = page.continuation
            assert seen == alone[target.range_id]

        async with asyncio.TaskGroup() as group:
            for index in range(len(targets)):
                group.create_task(follow(index))


async def test_t4_endless_410_is_one_request_and_one_error(world: EmulatedWorld) -> None:
    (target, *_) = await world.targets()
    await world.fault(operation="change_feed", status=410, substatus=1002)
    before = (await world.requests()).get("change_feed", 0)
    with pytest.raises(FeedRangeGone):
        await world.source.read_page(target, None, max_documents=PLENTY)
    assert (await world.requests())["change_feed"] == before + 1


@pytest.mark.parametrize("substatus", [1000, 1002, 1007, 1008])
async def test_t4_every_410_leaves_at_once(world: EmulatedWorld, substatus: int) -> None:
    (target, *_) = await world.targets()
    await world.fault(operation="change_feed", status=410, substatus=substatus, times=1)
    with pytest.raises(FeedRangeGone):
        await world.source.read_page(target, None, max_documents=PLENTY)
    await world.source.read_page(target, None, max_documents=PLENTY)


async def test_t4_reading_never_walks_on_into_the_children_of_a_split(
    world: EmulatedWorld,
) -> None:
    await fill(world)
    parent = await busiest(world)
    await world.split(parent.id)
    before = await world.requests()
    with pytest.raises(FeedRangeGone):
        await world.source.read_page(target_of(parent), None, max_documents=PLENTY)
    after = await world.requests()
    assert after["change_feed"] == before["change_feed"] + 1


async def test_t4_part_that_now_spans_two_partitions_is_refused_before_it_is_sent(
    world: EmulatedWorld,
) -> None:
    await fill(world)
    parent = await busiest(world)
    low, high = parent.feed_range.min or "0" * 32, parent.feed_range.max
    part = FeedRange(min=low[:-1] + "1", max="3" + "F" * 31 if high == "FF" else high)
    target = target_of(parent, part)
    await world.source.read_page(target, None, max_documents=PLENTY)
    await world.split(parent.id)
    await world.source.physical_ranges()
    before = (await world.requests())["change_feed"]
    with pytest.raises(FeedRangeGone):
        await world.source.read_page(target, None, max_documents=PLENTY)
    assert (await world.requests())["change_feed"] == before


async def test_t4_range_that_this_process_has_not_heard_of_yet_is_read(
    world: EmulatedWorld,
) -> None:
    """Another host made leases for the children; here only the routing map is stale."""
    await fill(world)
    parent = await busiest(world)
    whole, _ = await drain(world.source, target_of(parent))
    await world.split(parent.id)
    children = [
        PhysicalRange(id=one.range_id, feed_range=FeedRange(min=one.minimum, max=one.maximum))
        for one in world.server.engine.container(CART.database, CART.container).partitions()
        if parent.feed_range.covers(FeedRange(min=one.minimum, max=one.maximum))
    ]
    assert len(children) == 2
    found = [
        change["id"]
        for child in children
        for change in (await drain(world.source, target_of(child)))[0]
    ]
    assert sorted(found) == sorted(change["id"] for change in whole)


async def test_t5_bare_number_in_a_lease_still_reads_its_own_range_only(
    world: EmulatedWorld,
) -> None:
    await fill(world)
    target = target_of(await busiest(world))
    first = await world.source.read_page(target, None, max_documents=1)
    bare = Continuation(str(first.lsn))
    rest, _ = await drain(world.source, target, first.continuation)
    assert (await drain(world.source, target, bare))[0] == rest
    assert len(rest) < len(KEYS)


class CountedCredential:
    """Hands out tokens, as a credential does; counts its makers and closers."""

    made = 0
    closed = 0

    def __init__(self, entra: Entra) -> None:
        type(self).made += 1
        self._entra = entra

    async def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return AccessToken(*self._entra.token())

    async def close(self) -> None:
        type(self).closed += 1

    async def __aenter__(self) -> CountedCredential:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def test_t6_refused_entra_token_is_cured_by_a_new_client_made_once_for_all() -> None:
    CountedCredential.made = CountedCredential.closed = 0
    async with (
        running_emulator(https=True) as server,
        emulated_world(
            server, key=None, credential=partial(CountedCredential, server.entra), verify_tls=False
        ) as world,
    ):
        await fill(world)
        targets = await world.targets()
        assert CountedCredential.made == 1
        await world.fault(operation="change_feed", status=403, substatus=5300, times=len(targets))
        refused = await asyncio.gather(
            *(world.source.read_page(one, None, max_documents=PLENTY) for one in targets),
            return_exceptions=True,
        )
        assert {type(error) for error in refused} == {CredentialExpired}
        await asyncio.gather(*(world.source.rebuild() for _ in targets))
        pages = await asyncio.gather(
            *(world.source.read_page(one, None, max_documents=PLENTY) for one in targets)
        )
        assert sum(len(documents_of(page)) for page in pages) == len(KEYS)
        assert (CountedCredential.made, CountedCredential.closed) == (2, 1)
    assert CountedCredential.closed == 2


async def test_t6_identity_that_new_tokens_do_not_help_is_a_mistake() -> None:
    async with (
        running_emulator(https=True) as server,
        emulated_world(
            server, key=None, credential=partial(CountedCredential, server.entra), verify_tls=False
        ) as world,
    ):
        (target, *_) = await world.targets()
        await world.fault(operation="change_feed", status=403, substatus=5300)
        errors = []
        for _ in range(REFUSED_CLIENTS):
            with pytest.raises(ProjectorError) as caught:
                await world.source.read_page(target, None, max_documents=PLENTY)
            errors.append(type(caught.value))
        assert errors[:-1] == [CredentialExpired] * (REFUSED_CLIENTS - 1)
        assert errors[-1] is ConfigurationError
        await world.heal()
        await world.source.read_page(target, None, max_documents=PLENTY)
        await world.fault(operation="change_feed", status=403, substatus=5300)
        with pytest.raises(CredentialExpired):
            await world.source.read_page(target, None, max_documents=PLENTY)


async def test_t7_place_in_another_container_is_told_apart(world: EmulatedWorld) -> None:
    await fill(world)
    old = await world.source.container_rid()
    target = target_of(await busiest(world))
    page = await world.source.read_page(target, None, max_documents=1)
    await world.recreate()
    async with CosmosGateway(account_of(world.server)) as fresh:
        restarted = CosmosChangeSource(fresh, CART, expected_rid=old)
        with pytest.raises(SourceRecreated) as caught:
            await restarted.read_page(target, page.continuation, max_documents=1)
        with pytest.raises(SourceRecreated):
            await restarted.resolve(target, NOW)
        with pytest.raises(SourceRecreated):
            await restarted.physical_ranges()
        assert await restarted.container_rid() == caught.value.found_rid != old


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(b"1234567890123456789012345678901234567890.0000000001", id="40 digits"),
        pytest.param(b"0.1000000000000000055511151231257827", id="no double"),
        pytest.param(b"1e400", id="beyond a double"),
        pytest.param(b"NaN", id="not a number"),
    ],
)
async def test_t8_numbers_arrive_as_they_were_sent(world: EmulatedWorld, number: bytes) -> None:
    await world.raw(b'{"id":"odd","cartId":"key","price":' + number + b"}")
    pages = [
        await world.source.read_page(target, None, max_documents=PLENTY)
        for target in await world.targets()
    ]
    assert sum(b'"price":' + number in (page.body or b"") for page in pages) == 1


async def test_t9_malformed_text_neither_hides_its_page_nor_stops_the_feed(
    world: EmulatedWorld,
) -> None:
    await world.write("key", "before")
    await world.raw(b'{"id":"bad","cartId":"key","item":"\xff\xfe"}')
    await world.write("key", "after")
    bodies: list[bytes] = []
    for target in await world.targets():
        place = None
        while True:
            page = await world.source.read_page(target, place, max_documents=1)
            if page.body is None:
                break
            bodies.append(page.body)
            place = page.continuation
    assert len(bodies) == 3
    assert b"\xff\xfe" in bodies[1]
    assert [json.loads(bodies[index])["Documents"][0]["id"] for index in (0, 2)] == [
        "before",
        "after",
    ]
