from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from structlog.testing import capture_logs

from projector.core.names import Continuation, Epoch, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.core.states import CloseReason, RangeState
from projector.operations.observers import EVERY_SECONDS, Everybody, Tally, tell_progress
from projector.ports.feed import Applied, Page, RangeReport
from projector.telemetry.metrics import Metrics

TOKEN = LeaseToken("0")
PAGE = Page(
    body=b"{}",
    continuation=Continuation('"1"'),
    lsn=1,
    session_lsn=1,
    size_bytes=2,
    request_units=1.5,
)


async def test_everybody_is_told_everything() -> None:
    tally, metrics = Tally(), Metrics()
    everybody = Everybody(observers=[tally, metrics])
    await everybody.acquired(TOKEN)
    everybody.polled(TOKEN, PAGE)
    everybody.applied(
        TOKEN, Applied(delivered=5, upserted=2, removed=1, unchanged=1, rejected=1), seconds=0.1
    )
    await everybody.failed(TOKEN, ValueError("x"))
    await everybody.released(TOKEN, CloseReason.SHUTDOWN)
    told = {"lease_token": "0"}
    assert metrics.registry.get_sample_value("projector_request_units_total", told) == 1.5
    assert str(tally) == "5 documents delivered: 2 upserted, 1 removed, 1 unchanged, 1 rejected"
    assert (
        metrics.registry.get_sample_value(
            "projector_documents_delivered_total", {"lease_token": "0"}
        )
        == 5
    )


def test_a_tally_adds_up() -> None:
    tally = Tally()
    for _ in range(3):
        tally.applied(TOKEN, Applied(delivered=2, upserted=2), seconds=0.1)
    assert (tally.delivered, tally.upserted, tally.rejected) == (6, 6, 0)


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
