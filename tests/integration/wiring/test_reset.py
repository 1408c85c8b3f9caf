"""Resets in the test's own process: the order of their halves, and what a crash in between costs."""

from __future__ import annotations

import pytest

from projector.core.errors import ConfigurationError, LeaseStoreUnavailable, SchemaMismatch
from projector.operations.leases import Consent
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.wiring.commands import prepared_reset
from tests.fixtures.emulator import control
from tests.integration.wiring.support import Shop

pytestmark = pytest.mark.postgres


async def reset(wanted: Settings, *, token: str | None = None, accept_source: bool = False) -> int:
    consent = Consent(new_source=accept_source)
    opening = prepared_reset(wanted, clock=SystemClock(), token=token, consent=consent)
    async with opening as prepared:
        return sum(done.changed for done in await prepared.carry_out())


async def test_a_reset_replays_everything_once(shop: Shop) -> None:
    shop.open(20)
    assert await shop.delivered() == 20
    assert await reset(shop.settings()) == 4
    assert await shop.delivered() == 20
    assert await shop.delivered() == 0


async def test_a_reset_of_one_lease_replays_its_range_only(shop: Shop) -> None:
    shop.open(40)
    await shop.delivered()
    assert await reset(shop.settings(), token="2") == 1
    assert 0 < await shop.delivered() < 40


async def test_a_reset_that_dies_before_the_leases_are_written_replays_all_the_same(
    shop: Shop,
) -> None:
    shop.open(20)
    await shop.delivered()
    await control(shop.emulator, "faults", {"operation": "replace_item", "status": 503})
    with pytest.raises(LeaseStoreUnavailable):
        await reset(shop.settings())
    await control(shop.emulator, "faults", method="DELETE")
    assert await shop.delivered() == 20


async def test_mistakes_are_refused_before_anything_is_written(
    shop: Shop, empty_database_url: str
) -> None:
    shop.open(1)
    await shop.delivered()
    with pytest.raises(ConfigurationError, match="no lease '9'; the lease tokens are: 0, 1, 2, 3"):
        await reset(shop.settings(), token="9")
    with pytest.raises(SchemaMismatch):
        await reset(shop.settings(database_url=empty_database_url))
    assert await shop.delivered() == 0
