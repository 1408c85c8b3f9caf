"""One process's share of filling a generation: account and target joined to `projector.rebuild.fill`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from projector.core.names import InstanceName
from projector.ports.feed import Clock
from projector.ports.filling import Filled
from projector.ports.generations import FillSource
from projector.postgres.connections import Connections
from projector.postgres.filling import FillParts
from projector.postgres.finishing import Finish
from projector.postgres.generation import Generation
from projector.projection.project import Projection
from projector.rebuild.fill import Filler, FillNeighbours, FillOptions
from projector.rebuild.pages import FeedPages, Pages, ScanPages
from projector.reconcile.reads import PacedFeed
from projector.settings import Settings
from projector.wiring.opening import Account


def filler(
    settings: Settings,
    opened: Account,
    connections: Connections,
    *,
    generation: Generation,
    source: FillSource,
    processor_name: str,
    clock: Clock,
    done: Callable[[Filled], Awaitable[None]],
) -> Filler:
    """Fills that generation from the container.

    Args:
        settings: Those of the process; the filter is theirs, the definition the generation's.
        opened: The account, with the leases of `processor_name`.
        connections: Those of the generation.
        generation: The one to fill; its tables are plain (`tables.plain_statements`).
        source: Where the documents come from; what the settings say (`REBUILD_SOURCE`) is for who starts one.
        processor_name: Whose leases will follow the feed for it.
        clock: Time for waits.
        done: Says that it is filled: hosts may follow.
    """
    projection = Projection(generation.definition, selection=settings.projection.selection)
    neighbours = FillNeighbours(
        source=opened.source,
        pages=_pages(opened, source, projection),
        parts=FillParts(
            connections,
            generation=generation,
            container_rid=opened.container_rid,
            owner=InstanceName(settings.instance_name),
        ),
        finishing=Finish(
            connections,
            generation=generation,
            container_rid=opened.container_rid,
            processor_name=processor_name,
        ),
        leases=opened.leases,
        markers=opened.markers,
        clock=clock,
        expected=opened.scanner.count,
        done=done,
    )
    return Filler(neighbours, options=FillOptions(page_size=settings.rebuild_page_size))


def _pages(opened: Account, source: FillSource, projection: Projection) -> Pages:
    match source:
        case FillSource.FEED:
            return FeedPages(PacedFeed(opened.source, opened.allowance), projection)
        case FillSource.SCAN:
            return ScanPages(opened.scanner, projection)
