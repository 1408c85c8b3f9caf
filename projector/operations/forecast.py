"""What reading a container again will cost: documents, request units, minutes; told before anything is done.

The account says how many documents there are; what one costs to read is seen from a small page of a few
ranges. How long it takes is what the limit of request units lets through, or what hosts have reached in
their best minute of the last day, whichever is longer. What nobody can tell is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from projector.core.names import LeaseToken
from projector.core.texts import duration
from projector.ports.feed import ChangeSource, FeedTarget, PhysicalRange
from projector.ports.points import DocumentScanner

SAMPLED_RANGES = 4
SAMPLED_DOCUMENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Of one reading; None is unknown.

    `seconds` is how long hosts take, `limited` whether it is the limit of request units that says so.
    """

    documents: int | None
    request_units: float | None
    seconds: float | None
    limited: bool = False

    @override
    def __str__(self) -> str:
        """One line for people."""
        if self.documents is None:
            return "how many documents there are is not told by the account"
        units = "" if self.request_units is None else f", {self.request_units:,.0f} request units"
        return f"about {self.documents:,} documents{units}, {self._time()}"

    def _time(self) -> str:
        if self.seconds is None:
            return "for how long nobody can say yet: set PROJECTOR_MAX_REQUEST_UNITS to bound it"
        return duration(self.seconds) + (" under PROJECTOR_MAX_REQUEST_UNITS" * self.limited)


async def forecast(
    *,
    source: ChangeSource,
    scanner: DocumentScanner,
    per_second: float | None,
    pace: float | None,
    ranges: Sequence[PhysicalRange] | None = None,
) -> Forecast:
    """Ask the account, and read a little.

    Args:
        source: The container's feed.
        scanner: Who knows how many documents there are.
        per_second: The limit of request units; None: there is none.
        pace: Documents per second that hosts have reached; None: nobody knows.
        ranges: Those to be read; None: all of them.

    Raises:
        FeedError: The container does not answer.
    """
    every = await source.physical_ranges()
    chosen = every if ranges is None else ranges
    counted = await scanner.count()
    documents = None if counted is None else round(counted * len(chosen) / max(1, len(every)))
    each = await _units_of_one(source, chosen)
    units = None if documents is None or each is None else documents * each
    by_limit = units / per_second if units is not None and per_second else None
    by_pace = documents / pace if documents is not None and pace else None
    known = [seconds for seconds in (by_limit, by_pace) if seconds is not None]
    seconds = max(known, default=None)
    return Forecast(
        documents=documents,
        request_units=units,
        seconds=seconds,
        limited=seconds is not None and seconds == by_limit,
    )


async def _units_of_one(source: ChangeSource, ranges: Sequence[PhysicalRange]) -> float | None:
    """Request units for a document, from the first page of some ranges; None: they hold none."""
    step = max(1, len(ranges) // SAMPLED_RANGES)
    units, documents = 0.0, 0
    for one in ranges[::step][:SAMPLED_RANGES]:
        page = await source.read_page(_whole(one), None, max_documents=SAMPLED_DOCUMENTS)
        if page.document_count:
            units, documents = units + page.request_units, documents + page.document_count
    return units / documents if documents else None


def _whole(one: PhysicalRange) -> FeedTarget:
    return FeedTarget(lease_token=LeaseToken(one.id), feed_range=one.feed_range, range_id=one.id)
