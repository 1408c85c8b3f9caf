"""What a process may spend on the container, and what reading it again will cost.

Spent is without a limit, or by the line that all hosts book on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from projector.core.ranges import FeedRange
from projector.operations.fleet import HOSTS_AT_MOST
from projector.operations.forecast import Forecast, forecast
from projector.ports.budget import UNLIMITED, Allowance
from projector.ports.feed import Clock, Spent
from projector.postgres.beside import beside
from projector.postgres.budget import PostgresLedger
from projector.postgres.connections import Connections
from projector.postgres.samples import best_pace
from projector.processor.budget import Budget
from projector.settings import Settings
from projector.wiring.opening import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """`allowance` says when to read, `meter` is told of what was read."""

    allowance: Allowance = UNLIMITED
    meter: Callable[[Spent], object] = lambda spent: None


@asynccontextmanager
async def spending(
    settings: Settings,
    connections: Connections,
    *,
    clock: Clock,
    hosts: Callable[[], int] = lambda: HOSTS_AT_MOST,
    on_waited: Callable[[float], object] = lambda seconds: None,
) -> AsyncIterator[Spending]:
    """Book request units as long as the block lasts; the schema must be there.

    Requests to the container count, whatever they are for; those to the leases do not: they never wait,
    for a lease that is not renewed is lost.
    """
    if settings.max_request_units is None:
        yield Spending()
        return
    budget = Budget(
        ledger=PostgresLedger(connections=connections, processor_name=settings.processor_name),
        per_second=settings.max_request_units,
        clock=clock,
        hosts=hosts,
        on_waited=on_waited,
    )

    def meter(spent: Spent) -> None:
        if spent.container == settings.cosmos_container:
            budget.charge(spent.request_units)

    async with beside(budget.run(), name="host:budget"):
        yield Spending(allowance=budget, meter=meter)


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
