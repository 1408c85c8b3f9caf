from __future__ import annotations

import math
from datetime import UTC, datetime

from projector.core.names import Continuation, Epoch, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.core.states import CloseReason, RangeState
from projector.ports.feed import Applied, Page, RangeReport
from projector.telemetry.metrics import Metrics

TOKEN = LeaseToken("0")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"lease_token": TOKEN, **labels})


def report(
    *, gap: int | None, lag: float | None, state: RangeState = RangeState.READING
) -> RangeReport:
    return RangeReport(
        lease_token=TOKEN,
        feed_range=FULL_RANGE,
        owner=InstanceName("host"),
        state=state,
        state_since=datetime(2026, 1, 31, tzinfo=UTC),
        epoch=Epoch(1),
        gap_changes=gap,
        lag_seconds=lag,
    )


def test_unknown_is_nan_and_never_zero() -> None:
    metrics = Metrics()
    metrics.observed(report(gap=None, lag=None))
    assert math.isnan(value(metrics, "projector_gap_changes") or 0.0)
    assert math.isnan(value(metrics, "projector_lag_seconds") or 0.0)
    metrics.observed(report(gap=0, lag=0.0))
    assert value(metrics, "projector_gap_changes") == 0
    assert value(metrics, "projector_lag_seconds") == 0


def test_a_range_is_in_exactly_one_state() -> None:
    metrics = Metrics()
    metrics.observed(report(gap=0, lag=0.0))
    metrics.observed(report(gap=0, lag=0.0, state=RangeState.THROTTLED))
    states = {
        state: value(metrics, "projector_range_state", state=state.value) for state in RangeState
    }
    assert states.pop(RangeState.THROTTLED) == 1
    assert set(states.values()) == {0}


async def test_what_only_an_owner_knows_goes_with_the_lease() -> None:
    metrics = Metrics()
    await metrics.acquired(TOKEN)
    metrics.observed(report(gap=3, lag=1.0))
    assert metrics.registry.get_sample_value("projector_leases_owned") == 1
    await metrics.released(TOKEN, CloseReason.LEASE_LOST)
    assert metrics.registry.get_sample_value("projector_leases_owned") == 0
    assert value(metrics, "projector_gap_changes") is None
    assert value(metrics, "projector_range_state", state="reading") is None


async def test_a_lease_may_be_acquired_again_after_its_release() -> None:
    metrics = Metrics()
    for _ in range(2):
        await metrics.acquired(TOKEN)
        await metrics.released(TOKEN, CloseReason.SHUTDOWN)
    assert metrics.registry.get_sample_value("projector_leases_owned") == 0


async def test_reads_batches_and_failures_are_counted() -> None:
    metrics = Metrics()
    page = Page(
        body=b"{}",
        continuation=Continuation('"1"'),
        lsn=1,
        session_lsn=1,
        size_bytes=10,
        request_units=2.5,
    )
    metrics.polled(TOKEN, page)
    metrics.polled(TOKEN, page)
    newest = datetime(2026, 1, 31, tzinfo=UTC)
    metrics.applied(
        TOKEN, Applied(delivered=3, upserted=2, rejected=1, newest_time=newest), seconds=0.2
    )
    await metrics.failed(TOKEN, ValueError("x"))
    assert value(metrics, "projector_polls_total") == 2
    assert value(metrics, "projector_request_units_total") == 5
    assert value(metrics, "projector_page_bytes_total") == 20
    assert value(metrics, "projector_documents_total", outcome="rejected") == 1
    assert value(metrics, "projector_newest_change_timestamp_seconds") == newest.timestamp()
    assert value(metrics, "projector_range_failures_total", error_type="ValueError") == 1
    assert metrics.registry.get_sample_value("projector_batch_seconds_count") == 1
    assert b"projector_documents_delivered_total" in metrics.exposition()
