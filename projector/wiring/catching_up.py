"""`run --until-caught-up`: what the tables and the hosts say of each range, and the end of the job.

A range counts as opened when a host that lives reports the epoch that the tables hold: this host as
of now, another one within its last seconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from projector.core.start import StartFrom
from projector.core.states import RangeState
from projector.ports.feed import Clock, RangeReport
from projector.postgres.connections import Connections
from projector.postgres.ranges import live_ranges
from projector.postgres.reports import OpenedRange, opened_epochs
from projector.processor.host import Host
from projector.processor.progress import Reached, wait_until_caught_up
from projector.wiring.opening import Account


class CatchingUp:
    """What runs beside a host that is to stop when there is nothing left to do."""

    def __init__(
        self,
        *,
        host: Host[Any],
        opened: Account,
        connections: Connections,
        clock: Clock,
        start_from: StartFrom,
    ) -> None:
        """Take the host before it runs."""
        self._host = host
        self._opened = opened
        self._connections = connections
        self._clock = clock
        self._start_from = start_from

    async def stop_when_caught_up(self) -> None:
        """Ask the host to stop once every range of the container is where the source is."""
        await self._host.wait_until_started()
        await wait_until_caught_up(
            source=self._opened.source,
            leases=self._opened.leases,
            clock=self._clock,
            start_from=self._start_from,
            committed=self._reached,
        )
        self._host.request_stop()

    async def _reached(self) -> Sequence[Reached]:
        return await reached(
            self._connections, self._opened.container_rid, opened=self._opened_ranges
        )

    async def _opened_ranges(self) -> frozenset[OpenedRange]:
        others = await opened_epochs(self._connections)
        return opened_of(self._host.reports()) | others


async def reached(
    connections: Connections,
    container_rid: str,
    *,
    opened: Callable[[], Awaitable[frozenset[OpenedRange]]],
) -> Sequence[Reached]:
    """How far each live range of the target has come. Raises SinkUnavailable.

    Args:
        connections: to the target.
        container_rid: the container; ranges of another one do not count.
        opened: asked for what hosts that live have opened.
    """
    committed = await live_ranges(connections, container_rid)
    open_now = await opened()
    return [
        Reached(
            feed_range=position.feed_range,
            started=position.started,
            lsn=position.lsn,
            replaying=position.replaying,
            opened=(position.range_id, position.epoch) in open_now,
            owner=position.owner,
        )
        for position in committed
    ]


def opened_of(reports: Iterable[RangeReport]) -> frozenset[OpenedRange]:
    """Those ranges that were opened, by what their hosts say as of now."""
    return frozenset(
        (report.range_id, report.epoch)
        for report in reports
        if report.replay_open is not None and report.state not in _NOT_OPENED
    )


_NOT_OPENED = frozenset(
    {
        RangeState.STARTING,
        RangeState.STOPPED,
        RangeState.FENCED_OUT,
        RangeState.SOURCE_RECREATED,
    }
)
