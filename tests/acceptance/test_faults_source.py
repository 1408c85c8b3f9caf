"""What a host does while Cosmos DB misbehaves: it waits where it is, keeps its leases, recovers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from azure.core.credentials import AccessToken

from cosmos_emulator import EmulatorServer
from cosmos_emulator.entra import Entra
from projector.core.states import CloseReason, RangeState
from projector.cosmos.client import CosmosAccount
from projector.operations.leases import Consent
from projector.processor.clock import SystemClock
from projector.wiring.commands import prepared_reset
from tests.acceptance.hosts_scene import (
    DATABASE,
    Scene,
    hosting,
    scene,
    serving,
    settings_of,
    until,
)
from tests.fixtures.emulator import running_emulator

pytestmark = [pytest.mark.acceptance, pytest.mark.postgres, pytest.mark.slow]

PARTITIONS = 4


@pytest.fixture
async def stage(emulator: EmulatorServer, database_url: str) -> AsyncIterator[Scene]:
    """A container with documents and an empty copy."""
    async with scene(emulator, database_url) as made:
        yield made


async def test_a_storm_of_429_is_waited_out_in_place(stage: Scene) -> None:
    async with serving(stage):
        await stage.copied()
        before = stage.epochs()
        stage.fault(operation="change_feed", status=429, substatus=3200, retry_after_ms=200)
        asked = stage.requests("change_feed")
        began = time.monotonic()
        stage.shop()
        await stage.all_in(RangeState.THROTTLED)
        await until(lambda: stage.requests("change_feed") - asked, lambda count: count > 24)
        # As told, each range waits 200 ms before it asks again: 24 requests are 6 rounds.
        assert time.monotonic() - began > 0.8
        assert stage.wrong()
        stage.heal()
        await stage.copied()
        assert stage.epochs() == before
    assert set(stage.witness.endings) == {CloseReason.SHUTDOWN}


async def test_throttled_leases_are_kept(stage: Scene) -> None:
    async with serving(stage):
        await stage.copied()
        before = stage.epochs()
        stage.fault(
            path_prefix=f"/dbs/{DATABASE}/colls/lease", status=429, retry_after_ms=20, times=60
        )
        stage.shop()
        await stage.copied()
        await until(stage.server.faults.listed, lambda left: not left)
        await until(lambda: stage.requests("replace_item"), lambda count: count > PARTITIONS)
        assert stage.epochs() == before


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"status": 449}, id="449 retry with"),
        pytest.param({"status": 503}, id="503 unavailable"),
        pytest.param({"status": 408}, id="408 timeout"),
        pytest.param({"status": 500}, id="500 internal"),
        pytest.param({"status": 404, "substatus": 1002}, id="404/1002 replica behind"),
        pytest.param({"action": "drop"}, id="connection dropped"),
        pytest.param({"action": "truncate"}, id="answer cut short"),
    ],
)
async def test_an_outage_of_the_feed_costs_time_only(stage: Scene, trouble: dict[str, Any]) -> None:
    async with serving(stage):
        await stage.copied()
        before = stage.epochs()
        stage.fault(operation="change_feed", **trouble)
        stage.shop()
        await stage.all_in(RangeState.WAITING_FOR_SOURCE)
        assert stage.wrong()
        stage.heal()
        await stage.copied()
        assert stage.epochs() == before
    assert set(stage.witness.endings) == {CloseReason.SHUTDOWN}


async def test_an_answer_that_never_comes_is_given_up(stage: Scene) -> None:
    account = CosmosAccount(
        endpoint=stage.server.endpoint, key=stage.server.key, read_timeout_seconds=1.0
    )
    async with hosting(stage, account):
        await stage.copied()
        before = stage.epochs()
        stage.fault(operation="change_feed", action="hang")
        stage.shop()
        await stage.all_in(RangeState.WAITING_FOR_SOURCE)
        assert stage.wrong()
        stage.heal()
        await stage.copied()
        assert stage.epochs() == before


async def test_t4_a_range_that_stays_gone_asks_less_and_less_and_recovers(stage: Scene) -> None:
    async with serving(stage):
        await stage.copied()
        stage.fault(operation="change_feed", status=410, substatus=1002)
        asked, began = stage.requests("change_feed"), time.monotonic()
        stage.shop()
        await until(
            lambda: stage.requests("change_feed") - asked, lambda count: count >= 5 * PARTITIONS
        )
        # The waits of one range grow from 0.05 to 0.4 s at the least before its fifth question.
        assert time.monotonic() - began > 0.7
        stage.heal()
        await stage.copied()


async def test_a_split_that_is_completing_is_waited_for(stage: Scene) -> None:
    async with serving(stage):
        await stage.copied()
        first = stage.carts.partitions()[0].range_id
        stage.carts.split(first, completing_seconds=1.0)
        stage.shop()
        await stage.copied()
        # The child that holds none of the new documents may be opened after they are copied.
        await until(stage.epochs, lambda found: len(found) == PARTITIONS + 1)


async def test_a_page_that_is_too_large_is_halved_and_grows_back(
    stage: Scene, database_url: str
) -> None:
    for number in range(24):
        stage.carts.upsert({"id": f"x{number}", "cartId": "big", "item": "pro", "quantity": 1})
    stage.fault(operation="change_feed", status=413, times=3 * PARTITIONS)
    async with serving(stage, page_size=8):
        await stage.copied()
    assert min(count for count in stage.witness.pages if count) <= 2
    assert max(count for count in stage.witness.pages if count) == 8


class Tokens:
    """An Entra credential that counts its makers."""

    made = 0

    def __init__(self, entra: Entra) -> None:
        type(self).made += 1
        self._entra = entra

    async def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return AccessToken(*self._entra.token())

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Tokens:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def test_t6_an_aged_entra_token_is_renewed_without_losing_a_lease(database_url: str) -> None:
    Tokens.made = 0
    async with running_emulator(https=True) as server, scene(server, database_url) as stage:
        # A token makes no container, here as on the service.
        leases = {"id": "lease", "partitionKey": {"paths": ["/id"]}}
        server.engine.create_container(DATABASE, leases)
        identity = partial(Tokens, server.entra)
        account = CosmosAccount(endpoint=server.endpoint, credential=identity, verify_tls=False)
        async with hosting(stage, account):
            await stage.copied()
            before = stage.epochs()
            stage.fault(operation="change_feed", status=403, substatus=5300, times=PARTITIONS)
            stage.shop()
            await stage.copied()
            assert stage.epochs() == before
            assert Tokens.made >= 2
            assert "CredentialExpired" in stage.witness.errors


async def test_t7_a_recreated_container_is_followed_when_told_and_what_is_gone_goes(
    stage: Scene,
) -> None:
    async with serving(stage) as service:
        await stage.copied()
        rows = stage.rows("SELECT * FROM carts.cart_items ORDER BY 1, 2")
        stage.server.engine.delete_container(DATABASE, "cart")
        await stage.all_in(RangeState.WAITING_FOR_SOURCE, RangeState.SOURCE_RECREATED)
        stage.create_carts()
        stage.carts.upsert({"id": "other", "cartId": "cart-1", "item": "book", "quantity": 7})
        await stage.all_in(RangeState.SOURCE_RECREATED)
        assert all("leases reset --accept-new-source" in text for text in stage.messages())
        assert stage.rows("SELECT * FROM carts.cart_items ORDER BY 1, 2") == rows

        async with prepared_reset(
            settings_of(stage, instance_name="person"),
            clock=SystemClock(),
            token=None,
            consent=Consent(new_source=True),
        ) as reset:
            await reset.carry_out()
        await stage.copied()
        assert len(stage.rows("SELECT * FROM carts.cart_items")) == 1
        assert service.reports()
