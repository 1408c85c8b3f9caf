"""What a host tells of itself every few seconds, for plots; a target that is down misses it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from projector.core.health import Diagnosis
from projector.ports.feed import Clock
from projector.processor.refusals import Refusals
from projector.telemetry.logs import Event

EVERY_SECONDS = 10.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def keep_samples(
    add: Callable[[int, float | None], Awaitable[None]],
    *,
    delivered: Callable[[], int],
    diagnosis: Callable[[], Diagnosis],
    clock: Clock,
) -> None:
    """Add a sample every ten seconds until cancelled; what could not be added comes with the next.

    Args:
        add: Keeps documents since the last sample, and the lag; None: it is unknown.
        delivered: Documents of this host so far.
        diagnosis: Tells the lag of the whole.
        clock: Time between samples.
    """
    kept, refusals = delivered(), Refusals("writing samples for the console")
    while True:
        await clock.sleep(EVERY_SECONDS)
        so_far = delivered()
        try:
            with refusals.told():
                await add(so_far - kept, lag_of(diagnosis()))
        except Exception as error:  # noqa: BLE001 - no plot is worth a host
            log.debug(Event.SAMPLE_MISSED, error=str(error))
            continue
        kept = so_far


def lag_of(diagnosis: Diagnosis) -> float | None:
    """The greatest lag of all ranges; None when that of one is unknown."""
    lags = [one.facts.lag_seconds for one in diagnosis.ranges]
    known = [lag for lag in lags if lag is not None]
    return max(known) if known and len(known) == len(lags) else None
