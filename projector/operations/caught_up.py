"""What the tables and the hosts say of each range, for `run --until-caught-up`.

A range counts as opened when a host that lives reports the epoch that the tables hold: this host as
of now, another one within its last seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from projector.core.states import RangeState
from projector.ports.feed import RangeReport
from projector.ports.ranges import OpenedRange, StoredRange
from projector.processor.progress import Reached

_NOT_OPENED = frozenset(
    {
        RangeState.STARTING,
        RangeState.STOPPED,
        RangeState.FENCED_OUT,
        RangeState.SOURCE_RECREATED,
    }
)


def reached(committed: Sequence[StoredRange], opened: frozenset[OpenedRange]) -> Sequence[Reached]:
    """How far each live range has come; what is opened has to be asked for after what is committed."""
    return [
        Reached(
            feed_range=one.feed_range,
            started=one.started,
            lsn=one.lsn,
            replaying=one.replaying,
            opened=(one.range_id, one.epoch) in opened,
            owner=one.owner,
        )
        for one in committed
    ]


def opened_of(reports: Iterable[RangeReport]) -> frozenset[OpenedRange]:
    """Those ranges that were opened, by what their hosts say as of now."""
    return frozenset(
        (report.range_id, report.epoch)
        for report in reports
        if report.replay_open is not None and report.state not in _NOT_OPENED
    )
