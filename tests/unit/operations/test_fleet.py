"""What a host says of the fleet while one of its neighbours is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from projector.core.errors import ProjectorError, SinkRefused, SinkUnavailable
from projector.core.health import Health, Limits
from projector.operations import fleet
from projector.ports.copy import Blocker, CopyFacts, LastRelease
from projector.processor.estimator import Estimator
from tests.fakes.clock import FakeClock
from tests.unit.operations.test_status import position


async def test_a_silent_source_is_not_told_as_a_silent_postgresql(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock()
    silent = False

    async def told(_: CopyFacts | None) -> CopyFacts:
        if silent:
            await hangs()
        return CopyFacts(
            now=clock.now(), counted_at=clock.now(), quarantined=0, positions=(position(),)
        )

    async def hangs(*_: object, **__: object) -> Any:
        await asyncio.Event().wait()

    async def nobody() -> Sequence[Blocker]:
        return ()

    monkeypatch.setattr(Estimator, "behind", hangs)
    watch = fleet.FleetWatch(limits=Limits(), clock=clock, own=tuple)
    estimator = Estimator(source=None, leases=None, clock=clock)  # type: ignore[arg-type]  # unused
    looking = asyncio.ensure_future(watch.run(told, estimator, nobody))
    await clock.sleep(120)
    found = watch.figures()
    assert found.diagnosis.health is Health.NOT_ADVANCING
    assert "no host reads it" in found.diagnosis.reason
    assert found.look_age_seconds < fleet.OLD_SECONDS

    silent = True
    await clock.sleep(fleet.OLD_SECONDS + 9)  # before the look that hangs is given up
    assert watch.diagnosis().health is Health.UNKNOWN
    assert watch.diagnosis().reason.startswith("PostgreSQL has not answered for")
    assert watch.diagnosis().reason.endswith("s: no answer")
    looking.cancel()


async def test_who_blocks_us_is_told_while_it_blocks_the_look_itself() -> None:
    clock = FakeClock()

    async def waits_for_a_lock(_: CopyFacts | None) -> CopyFacts:
        await asyncio.Event().wait()
        raise AssertionError

    async def ask_blockers() -> Sequence[Blocker]:
        waited = clock.monotonic() % 15  # given up, and begun anew
        return [Blocker(pid=7, role="ana", application="psql", waiting=2, waited_seconds=waited)]

    watch = fleet.FleetWatch(limits=Limits(), clock=clock, own=tuple)
    estimator = Estimator(source=None, leases=None, clock=clock)  # type: ignore[arg-type]  # unused
    looking = asyncio.ensure_future(watch.run(waits_for_a_lock, estimator, ask_blockers))
    await clock.sleep(200)
    assert watch.figures().blocked_seconds[("ana", "psql")] > 150
    looking.cancel()


async def test_a_question_about_freed_leases_that_is_refused_is_told_once_and_asked_again() -> None:
    clock = FakeClock()
    refused = SinkRefused("PostgreSQL refuses: syntax error")
    freed = LastRelease(released_at=clock.now(), hosts=2)
    answers: list[ProjectorError | LastRelease]
    answers = [SinkUnavailable("PostgreSQL: down"), refused, refused, freed, refused, freed]
    lines: list[int] = []
    expected: list[float] = []

    async def ask() -> LastRelease:
        lines.append(len(told))
        answer = answers[min(len(lines), len(answers)) - 1]
        if isinstance(answer, ProjectorError):
            raise answer
        return answer

    with capture_logs() as told:
        watching = asyncio.ensure_future(
            fleet.watch_releases(ask, clock=clock, expect_leases=expected.append)
        )
        await clock.sleep(fleet.RELEASES_EVERY_SECONDS * 8)
    watching.cancel()
    assert lines[:6] == [0, 0, 1, 1, 1, 2]
    assert len(expected) == 1
    assert told[0] == {
        "event": "work_refused",
        "log_level": "warning",
        "work": "looking for freed leases",
        "error": "SinkRefused: PostgreSQL refuses: syntax error",
    }
