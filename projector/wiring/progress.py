"""A line now and then while a host is behind: how much it has read, how fast, how much is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from projector.core.pace import Pace
from projector.ports.feed import Clock, RangeReport
from projector.wiring.events import Event
from projector.wiring.observers import Tally

EVERY_SECONDS = 10.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def tell_progress(
    *, tally: Tally, reports: Callable[[], Sequence[RangeReport]], clock: Clock
) -> None:
    """Log `progress` every ten seconds for as long as this host's ranges are behind; never returns.

    The gap is counted in changes, of which documents that were written several times use up more
    than one; so the time left is taken from how the gap shrinks, not from the documents read.
    """
    read, gained = Pace(), Pace()
    was_behind = False
    while True:
        gaps = [report.gap_changes for report in reports()]
        known = [gap for gap in gaps if gap is not None]
        read.look(clock.monotonic(), tally.delivered)
        if len(known) == len(gaps):
            gained.look(clock.monotonic(), -sum(known))
        behind = sum(known) > 0
        if behind and was_behind:
            left = gained.seconds_left(sum(known))
            log.info(
                Event.PROGRESS,
                documents=tally.delivered,
                documents_per_second=round(read.per_second or 0),
                gap_changes=sum(known),
                unknown_ranges=len(gaps) - len(known),
                seconds_left=None if left is None else round(left),
            )
        was_behind = behind
        await clock.sleep(EVERY_SECONDS)
