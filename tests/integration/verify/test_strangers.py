"""Two databases that share one lease container by mistake, or one after the other on purpose."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from projector.core.errors import ConfigurationError
from projector.core.lease import TARGET_PROPERTY
from projector.operations import strangers
from projector.operations.leases import Consent
from projector.postgres.schema import identity
from projector.processor.clock import SystemClock
from projector.telemetry.logs import Event
from projector.wiring.commands import prepared_reset
from projector.wiring.opening import account
from projector.wiring.service import Service
from tests.integration.verify.support import Pair, until


@pytest.fixture(autouse=True)
def short_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(strangers, "GUARD_SECONDS", 0.1)
    monkeypatch.setattr(strangers, "PROOF_SECONDS", 0.5)


async def stamps(pair: Pair) -> dict[str, str | None]:
    service = Service(pair.settings)
    async with account(service._settings, clock=service._clock) as opened:
        listed = await opened.leases.list_leases()
    return {str(one.token): one.properties.get(TARGET_PROPERTY) for one in listed}


async def owners(pair: Pair) -> set[str | None]:
    service = Service(pair.settings)
    async with account(service._settings, clock=service._clock) as opened:
        return {one.owner for one in await opened.leases.list_leases()}


async def test_a_staging_copy_with_productions_settings_is_refused_and_takes_nothing(
    pair: Pair, empty_database_url: str
) -> None:
    await pair.lines(10)
    pair.values |= {"lease_renew_seconds": 0.3, "instance_name": "production"}
    async with pair.host() as production:
        await until(lambda: production.metrics.owned._value.get() == 4)
        async with pair.connections() as connections:
            mine = await identity(connections)
        pair.values |= {"database_url": empty_database_url, "instance_name": "staging"}
        with pytest.raises(ConfigurationError, match="for another database") as refused:
            await Service(pair.settings).run()
        assert str(mine) in str(refused.value)
        assert empty_database_url.rpartition("/")[2] in str(refused.value)
        assert "PROJECTOR_PROCESSOR_NAME" in str(refused.value)
        resetting = prepared_reset(
            pair.settings, clock=SystemClock(), token=None, consent=Consent()
        )
        with pytest.raises(ConfigurationError, match="for another database"):
            async with resetting:
                pass
        assert await owners(pair) == {"production"}
        assert production.conflict() is None


async def test_leases_of_a_database_that_is_no_more_are_taken_over_and_said(
    pair: Pair, empty_database_url: str
) -> None:
    await pair.lines(10)
    await pair.drain()
    before = set((await stamps(pair)).values())
    assert len(before) == 1
    pair.values["database_url"] = empty_database_url
    with capture_logs() as told:
        tally = await Service(pair.settings).run(until_caught_up=True)
    assert tally.delivered == 10
    [adopted] = [entry for entry in told if entry["event"] == Event.LEASES_ADOPTED]
    assert adopted["before"] == list(before)
    assert set((await stamps(pair)).values()) == {adopted["now"]}


async def test_hosts_of_two_databases_that_meet_later_say_so(
    pair: Pair, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.lines(10)
    pair.values |= {"lease_renew_seconds": 0.3, "instance_name": "production"}

    async def meet_nobody(*_: object, **__: object) -> None:
        """As when both start at the same moment."""

    monkeypatch.setattr(strangers.Guard, "meet", meet_nobody)
    async with pair.host() as production:
        await until(lambda: production.metrics.owned._value.get() == 4)
        pair.values |= {"database_url": empty_database_url, "instance_name": "staging"}
        staging = Service(pair.settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(staging.run())
            await until(lambda: production.conflict() and staging.conflict())
            for service in (production, staging):
                assert not service._fleet.diagnosis().healthy
            assert "'staging'" in str(production._fleet.diagnosis().reason)
            staging.request_stop()
        await until(lambda: production.conflict() is None)


async def test_a_database_that_is_replaced_under_its_host_makes_no_stranger_of_it(
    pair: Pair,
) -> None:
    await pair.lines(4)
    pair.values |= {"lease_renew_seconds": 0.3}
    async with pair.host() as first, pair.host() as second:
        await until(lambda: first.metrics.owned._value.get() == 2)
        await until(lambda: second.metrics.owned._value.get() == 2)
        [old] = set((await stamps(pair)).values())
        await pair.sql("DELETE FROM projector.target")
        await until(lambda: _all_but(pair, old))
        assert (first.conflict(), second.conflict()) == (None, None)


async def test_a_database_keeps_its_identity_and_its_copy_gets_another(pair: Pair) -> None:
    async with pair.connections() as connections:
        first = await identity(connections)
        assert await identity(connections) == first
        assert pair.url.rpartition("/")[2] in first.name
        await pair.sql("UPDATE projector.target SET server = 'where the dump was taken'")
        copy = await identity(connections)
        assert (copy.name, copy.id == first.id) == (first.name, False)
        assert await identity(connections) == copy


async def _all_but(pair: Pair, old: str | None) -> bool:
    found = set((await stamps(pair)).values())
    return old not in found and len(found) == 1
