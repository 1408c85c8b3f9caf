"""Resets in the test's own process: the order of their halves, and what a crash in between costs."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_emulator import EmulatorServer
from projector.core.errors import (
    ConfigurationError,
    LeaseStoreUnavailable,
    SchemaMismatch,
    SourceRecreated,
)
from projector.operations.leases import Consent
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.wiring.commands import prepared_reset
from projector.wiring.service import Service
from tests.fixtures.emulator import control

pytestmark = pytest.mark.postgres


def settings(emulator: EmulatorServer, url: str, **others: Any) -> Settings:
    return Settings.model_validate(
        {
            "cosmos_endpoint": emulator.endpoint,
            "cosmos_key": emulator.key,
            "database_url": url,
            "web_port": 0,
            **others,
        }
    )


def open_shop(emulator: EmulatorServer, *, carts: int) -> None:
    emulator.engine.create_database("acme-webstore")
    container = emulator.engine.create_container(
        "acme-webstore",
        {
            "id": "cart",
            "partitionKey": {"paths": ["/cartId"], "kind": "Hash", "version": 2},
            "defaultTtl": -1,
        },
    )
    for number in range(carts):
        container.upsert({"id": "1", "cartId": f"c{number}", "item": "x", "quantity": 1})


async def delivered(wanted: Settings) -> int:
    return (await Service(wanted).run(until_caught_up=True)).delivered


async def reset(wanted: Settings, *, token: str | None = None, accept_source: bool = False) -> int:
    consent = Consent(new_source=accept_source)
    opening = prepared_reset(wanted, clock=SystemClock(), token=token, consent=consent)
    async with opening as prepared:
        return sum(done.changed for done in await prepared.carry_out())


async def test_a_reset_replays_everything_once(emulator: EmulatorServer, database_url: str) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator, carts=20)
    assert await delivered(wanted) == 20
    assert await reset(wanted) == 4
    assert await delivered(wanted) == 20
    assert await delivered(wanted) == 0


async def test_a_reset_of_one_lease_replays_its_range_only(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator, carts=40)
    await delivered(wanted)
    assert await reset(wanted, token="2") == 1
    assert 0 < await delivered(wanted) < 40


async def test_a_reset_that_dies_before_the_leases_are_written_replays_all_the_same(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator, carts=20)
    await delivered(wanted)
    await control(emulator, "faults", {"operation": "replace_item", "status": 503})
    with pytest.raises(LeaseStoreUnavailable):
        await reset(wanted)
    await control(emulator, "faults", method="DELETE")
    assert await delivered(wanted) == 20


async def test_looking_at_a_reset_changes_nothing(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator, carts=5)
    await delivered(wanted)
    async with prepared_reset(
        wanted, clock=SystemClock(), token=None, consent=Consent()
    ) as prepared:
        assert len(prepared.chosen) == 4
    assert await delivered(wanted) == 0


async def test_a_recreated_container_is_followed_only_when_told(
    emulator: EmulatorServer, database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator, carts=3)
    await delivered(wanted)
    emulator.engine.delete_database("acme-webstore")
    open_shop(emulator, carts=5)
    with pytest.raises(SourceRecreated, match="--accept-new-source"):
        await reset(wanted)
    await reset(wanted, accept_source=True)
    assert await delivered(wanted) == 5


async def test_mistakes_are_refused_before_anything_is_written(
    emulator: EmulatorServer, database_url: str, empty_database_url: str
) -> None:
    wanted = settings(emulator, database_url)
    open_shop(emulator, carts=1)
    await delivered(wanted)
    with pytest.raises(ConfigurationError, match="no lease '9'; the lease tokens are: 0, 1, 2, 3"):
        await reset(wanted, token="9")
    with pytest.raises(SchemaMismatch):
        await reset(settings(emulator, empty_database_url))
    assert await delivered(wanted) == 0
