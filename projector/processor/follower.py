"""Finds out that the target was told to follow a container that this host does not read.

A matter of the host and not of its ranges: the disaster that made the container another one may
have taken the leases with it, and then no range is left to look. Asks nothing unless somebody met
another `_rid`; then, from time to time, the service which container there is and the target
whether it copies that one.
"""

from __future__ import annotations

from typing import TypeVar

from projector.core.errors import ProjectorError, SourceRecreated
from projector.core.names import LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.ports.feed import RangeClaim
from projector.processor.neighbours import RECHECK_SECONDS, Neighbours
from projector.processor.refusals import Refusals

P = TypeVar("P")

WHOLE_CONTAINER = LeaseToken("")


async def until_followed(neighbours: Neighbours[P]) -> SourceRecreated:
    """Wait until the target follows another container than the host reads; the error that told."""
    source = neighbours.source
    refusals = Refusals("asking which container is copied")
    while True:
        error = await source.in_doubt()
        await neighbours.clock.sleep(RECHECK_SECONDS)
        try:
            with refusals.told():
                rid = await source.feed.container_rid()
                if rid == neighbours.container_rid:
                    source.reassure()
                else:
                    await neighbours.sink.open(_probe(neighbours, rid))
                    return error
        except ProjectorError:
            continue


def _probe(neighbours: Neighbours[P], container_rid: str) -> RangeClaim:
    return RangeClaim(
        container_rid=container_rid,
        processor_name=neighbours.options.processor_name,
        lease_token=WHOLE_CONTAINER,
        feed_range=FULL_RANGE,
        owner=neighbours.options.instance_name,
        probe=True,
    )
