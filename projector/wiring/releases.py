"""Tells a host when another one has stopped, so that its ranges are taken over at once.

A lease that was released is free, but a host looks for free leases only once per acquire interval,
and a listing of many leases is dear. The last words of a host that stopped are in PostgreSQL, where
a look costs next to nothing. Hosts come in turn, the more there are, the longer apart.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from projector.core.errors import ProjectorError
from projector.core.names import InstanceName
from projector.ports.feed import Clock
from projector.postgres.connections import Connections
from projector.postgres.reports import last_release

LOOK_SECONDS = 1.0
TURN_SECONDS = 0.02


async def watch_releases(
    connections: Connections,
    *,
    me: InstanceName,
    clock: Clock,
    expect_leases: Callable[[float], None],
) -> None:
    """Call `expect_leases` with the seconds to wait whenever another host has released ranges."""
    seen = None
    while True:
        await clock.sleep(LOOK_SECONDS)
        try:
            found = await last_release(connections, beside=me)
        except ProjectorError:
            continue
        if found.released_at is not None and found.released_at != seen:
            expect_leases(random.uniform(0, TURN_SECONDS * found.hosts))  # noqa: S311 - spreads hosts
        seen = found.released_at
