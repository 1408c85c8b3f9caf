"""What reading the container again will cost, for any command that is about to ask for it."""

from __future__ import annotations

from collections.abc import Sequence

from projector.core.ranges import FeedRange
from projector.operations.forecast import Forecast, forecast
from projector.postgres.connections import Connections
from projector.postgres.samples import best_pace
from projector.settings import Settings
from projector.wiring.opening import Account


async def foreseen(
    settings: Settings,
    opened: Account,
    connections: Connections,
    keys: Sequence[FeedRange] | None = None,
) -> Forecast:
    """What it costs to read these keys, or all of them, from the beginning.

    Raises:
        FeedError, SinkUnavailable: A neighbour does not answer.
    """
    ranges = None
    if keys is not None:
        every = await opened.source.physical_ranges()
        ranges = [one for one in every if any(one.feed_range.overlaps(each) for each in keys)]
    return await forecast(
        source=opened.source,
        scanner=opened.scanner,
        per_second=settings.max_request_units,
        pace=await best_pace(connections),
        ranges=ranges,
    )
