from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from structlog.testing import capture_logs

from projector.core.names import Epoch, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.core.states import RangeState
from projector.operations.observers import EVERY_SECONDS, Tally, tell_progress
from projector.ports.feed import RangeReport


class Looks:
    """A clock whose every sleep shows the next state of a run, and then ends it."""

    def __init__(self, tally: Tally, states: Sequence[tuple[int, int | None]]) -> None:
        self._tally = tally
        self._states = iter(states)
        self._now = 0.0
        self.gap: int | None = None
        self._show()

    def monotonic(self) -> float:
        return self._now

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._now, tz=UTC)

    async def sleep(self, seconds: float) -> None:
        assert seconds == EVERY_SECONDS
        self._now += seconds
        self._show()

    def _show(self) -> None:
        try:
            self._tally.delivered, self.gap = next(self._states)
        except StopIteration:
            raise asyncio.CancelledError from None

    def reports(self) -> list[RangeReport]:
        return [
            RangeReport(
                lease_token=LeaseToken("0"),
                feed_range=FULL_RANGE,
                owner=InstanceName("a"),
                state=RangeState.READING,
                state_since=self.now(),
                epoch=Epoch(1),
                gap_changes=self.gap,
            )
        ]


async def told(*states: tuple[int, int | None]) -> list[dict[str, object]]:
    tally = Tally()
    looks = Looks(tally, states)
    with capture_logs() as logs, suppress(asyncio.CancelledError):
        await tell_progress(tally=tally, reports=looks.reports, clock=looks)
    return [{name: value for name, value in line.items() if name != "log_level"} for line in logs]


async def test_a_first_load_is_told_with_its_pace_and_what_is_left() -> None:
    lines = await told((0, None), (1_000, 9_000), (2_000, 8_000), (3_000, 7_000), (10_000, 0))
    assert lines == [
        {
            "event": "progress",
            "documents": documents,
            "documents_per_second": 100,
            "gap_changes": gap,
            "unknown_ranges": 0,
            "seconds_left": left,
        }
        for documents, gap, left in ((2_000, 8_000, 80), (3_000, 7_000, 70))
    ]


async def test_a_host_that_keeps_up_says_nothing() -> None:
    assert await told((0, 0), (5, 3), (9, 0), (12, 1), (15, 0)) == []
