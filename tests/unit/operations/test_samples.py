from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from projector.core.errors import SinkUnavailable
from projector.core.health import Diagnosis, Limits, diagnose
from projector.operations.samples import EVERY_SECONDS, keep_samples, lag_of
from tests.fakes.clock import FakeClock
from tests.unit.web.pages import facts


def told(*lags: float | None) -> Diagnosis:
    return diagnose([facts(0, lag_seconds=lag) for lag in lags], limits=Limits())


@pytest.mark.parametrize(
    ("diagnosis", "lag"),
    [(told(1.0, 3.0), 3.0), (told(1.0, None), None), (told(), None)],
    ids=["greatest", "one is unknown", "no ranges"],
)
def test_the_lag_of_the_whole_is_known_when_that_of_each_range_is(
    diagnosis: Diagnosis, lag: float | None
) -> None:
    assert lag_of(diagnosis) == lag


@pytest.mark.parametrize("error", [SinkUnavailable("down"), RuntimeError("a mistake of ours")])
async def test_what_could_not_be_kept_comes_with_the_next(error: Exception) -> None:
    clock, delivered, fails = FakeClock(), 5, False
    kept: list[tuple[int, float | None]] = []

    async def add(documents: int, lag: float | None) -> None:
        if fails:
            raise error
        kept.append((documents, lag))

    work = asyncio.ensure_future(
        keep_samples(add, delivered=lambda: delivered, diagnosis=lambda: told(2.0), clock=clock)
    )
    await clock.sleep(1)
    delivered = 8
    await clock.sleep(EVERY_SECONDS)
    assert kept == [(3, 2.0)]
    fails, delivered = True, 9
    await clock.sleep(EVERY_SECONDS)
    fails, delivered = False, 11
    await clock.sleep(EVERY_SECONDS)
    assert kept == [(3, 2.0), (3, 2.0)]
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
