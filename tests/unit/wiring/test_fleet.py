"""What a host says of the fleet while one of its neighbours is silent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from projector.core.health import Health
from projector.processor.estimator import Estimator
from projector.settings import Settings
from projector.wiring import fleet
from projector.wiring.witnesses import Target
from tests.fakes.clock import FakeClock
from tests.unit.wiring.test_status import position


async def test_a_silent_source_is_not_told_as_a_silent_postgresql(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock()

    async def told(_: object, *, counted: Target | None) -> Target:
        return Target(
            now=clock.now(), counted_at=clock.now(), quarantined=0, positions=(position(),)
        )

    async def hangs(*_: object, **__: object) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(fleet, "ask_target", told)
    monkeypatch.setattr(Estimator, "behind", hangs)
    watch = fleet.FleetWatch(settings=Settings(), clock=clock, own=tuple)
    estimator = Estimator(source=None, leases=None, clock=clock)  # type: ignore[arg-type]  # unused
    looking = asyncio.ensure_future(watch.run(None, estimator))  # type: ignore[arg-type]  # unused
    await clock.sleep(120)
    found = watch.figures()
    assert found.diagnosis.health is Health.NOT_ADVANCING
    assert "no host reads it" in found.diagnosis.reason
    assert found.look_age_seconds < fleet.OLD_SECONDS

    monkeypatch.setattr(fleet, "ask_target", hangs)
    await clock.sleep(fleet.OLD_SECONDS + 9)  # before the look that hangs is given up
    assert watch.diagnosis().health is Health.UNKNOWN
    assert watch.diagnosis().reason.startswith("PostgreSQL has not answered for")
    assert watch.diagnosis().reason.endswith("s: no answer")
    looking.cancel()
