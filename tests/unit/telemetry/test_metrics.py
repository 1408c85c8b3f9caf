from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from projector.core.health import Limits, RangeFacts, diagnose
from projector.core.names import Continuation, Epoch, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.core.states import CloseReason, RangeState, Removal
from projector.ports.feed import Applied, Page, RangeReport, Spent
from projector.telemetry.fleet import FleetFigures, Replay
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


async def test_counters_are_there_at_0_as_soon_as_their_range_is() -> None:
    metrics = Metrics()
    await metrics.acquired(TOKEN)
    for name in ("polls", "request_units", "page_bytes", "documents_delivered"):
        assert value(metrics, f"projector_{name}_total") == 0
    for outcome in ("upserted", "removed", "unchanged", "rejected"):
        assert value(metrics, "projector_documents_total", outcome=outcome) == 0
    for error_type in ("SinkUnavailable", "SourceUnavailable", "Throttled"):
        assert value(metrics, "projector_range_failures_total", error_type=error_type) == 0


async def test_leases_are_counted_as_taken_and_as_given_up_by_reason() -> None:
    metrics = Metrics()
    await metrics.acquired(TOKEN)
    assert value(metrics, "projector_leases_released_total", reason="lease_lost") == 0
    await metrics.released(TOKEN, CloseReason.STALLED)
    await metrics.acquired(TOKEN)
    await metrics.released(TOKEN, CloseReason.LEASE_LOST)
    await metrics.acquired(TOKEN)
    assert value(metrics, "projector_leases_acquired_total") == 3
    told = {
        reason: value(metrics, "projector_leases_released_total", reason=reason.value)
        for reason in CloseReason
    }
    assert {reason for reason, count in told.items() if count} == {
        CloseReason.STALLED,
        CloseReason.LEASE_LOST,
    }


def test_the_process_and_its_version_are_told() -> None:
    metrics = Metrics(version="1.2.3")
    assert metrics.registry.get_sample_value("process_resident_memory_bytes")
    assert metrics.registry.get_sample_value("projector_build_info", {"version": "1.2.3"}) == 1


def fleet(facts: RangeFacts | None, **figures: Any) -> Metrics:
    found = diagnose([] if facts is None else [facts], limits=Limits())
    return Metrics(
        lambda: FleetFigures(diagnosis=found, look_age_seconds=1.5, known_seconds=70.0, **figures)
    )


def test_what_is_unknown_of_the_fleet_has_an_age_all_the_same() -> None:
    never = RangeFacts(
        lease_token=None, feed_range=FULL_RANGE, read_age_seconds=70.0, commit_age_seconds=70.0
    )
    metrics = fleet(never)
    labels = {"feed_range": "-FF", "lease_token": ""}
    told = {
        name: metrics.registry.get_sample_value(f"projector_fleet_{name}", labels)
        for name in (
            "gap_changes",
            "lag_seconds",
            "read_age_seconds",
            "commit_age_seconds",
            "complete_age_seconds",
        )
    }
    assert math.isnan(told.pop("gap_changes") or 0.0)
    assert math.isnan(told.pop("lag_seconds") or 0.0)
    assert set(told.values()) == {70.0}
    assert metrics.registry.get_sample_value("projector_healthy") == 0
    assert metrics.registry.get_sample_value("projector_health", {"health": "unknown"}) == 1
    assert metrics.registry.get_sample_value("projector_fleet_ranges", {"health": "unknown"}) == 1
    assert metrics.registry.get_sample_value("projector_verification_age_seconds") == 70
    assert math.isnan(metrics.registry.get_sample_value("projector_quarantine_open") or 0.0)


def test_quarantine_drift_and_last_verification_are_told() -> None:
    metrics = fleet(None, quarantined=4, drift_found=2, verified_seconds=3600.0)
    assert metrics.registry.get_sample_value("projector_quarantine_open") == 4
    assert metrics.registry.get_sample_value("projector_verification_drift") == 2
    assert metrics.registry.get_sample_value("projector_verification_age_seconds") == 3600


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


def test_ranges_are_shown_as_they_are_at_the_scrape() -> None:
    told = [report(gap=0, lag=0.0)]
    metrics = Metrics(reports=lambda: told)
    metrics.exposition()
    assert value(metrics, "projector_lag_seconds") == 0
    told[:] = [report(gap=None, lag=None)]
    metrics.exposition()
    assert math.isnan(value(metrics, "projector_lag_seconds") or 0.0)


def test_rows_that_went_are_counted_by_cause() -> None:
    metrics = Metrics()
    metrics.applied(TOKEN, Applied(removed=2), seconds=0.1)
    metrics.applied(TOKEN, Applied(removed=1, removed_by=Removal.REJECTED), seconds=0.1)
    metrics.rows_removed(Removal.SWEEP, 3)
    told = {
        cause: metrics.registry.get_sample_value("projector_rows_removed_total", {"cause": cause})
        for cause in Removal
    }
    assert told == {
        Removal.MARKER: 2,
        Removal.REJECTED: 1,
        Removal.NOT_MEANT: 0,
        Removal.MIXED: 0,
        Removal.SWEEP: 3,
        Removal.REPAIR: 0,
    }


def test_request_units_and_refusals_are_counted_by_operation() -> None:
    metrics = Metrics()
    for throttled in (False, True):
        metrics.spent(
            Spent(container="cart", operation="read", request_units=1.5, throttled=throttled)
        )
    labels = {"container": "cart", "operation": "read"}
    told = {
        name: metrics.registry.get_sample_value(f"projector_cosmos_{name}_total", labels)
        for name in ("requests", "request_units", "throttled")
    }
    assert told == {"requests": 2, "request_units": 3.0, "throttled": 1}


def test_the_headroom_of_markers_is_the_smallest_ttl_less_the_age_of_the_oldest_rows() -> None:
    facts = RangeFacts(
        lease_token=TOKEN,
        feed_range=FULL_RANGE,
        read_age_seconds=1.0,
        commit_age_seconds=1.0,
        complete_age_seconds=40.0,
    )
    metrics = fleet(facts)
    for name in ("ttl", "headroom"):
        before = metrics.registry.get_sample_value(f"projector_marker_{name}_seconds")
        assert math.isnan(before or 0.0)
    for ttl in (300, 100, None, 200):
        metrics.applied(TOKEN, Applied(least_ttl_seconds=ttl), seconds=0.1)
    assert metrics.registry.get_sample_value("projector_marker_ttl_seconds") == 100
    assert metrics.registry.get_sample_value("projector_marker_headroom_seconds") == 60


def test_a_replay_tells_how_far_it_is() -> None:
    def told(gap: int | None, mark: int | None) -> dict[str, float | None]:
        replay = Replay(
            lease_token=TOKEN, feed_range=FULL_RANGE, seconds=5.0, gap_changes=gap, mark_lsn=mark
        )
        metrics = fleet(None, replays=[replay])
        labels = {"feed_range": "-FF", "lease_token": TOKEN}
        return {
            name: metrics.registry.get_sample_value(f"projector_replay_{name}", labels)
            for name in ("progress_ratio", "gap_changes", "age_seconds")
        }

    assert told(25, 100) == {"progress_ratio": 0.75, "gap_changes": 25, "age_seconds": 5}
    assert told(0, 0)["progress_ratio"] == 1
    requested = told(None, None)
    assert requested["progress_ratio"] == 0
    assert math.isnan(requested["gap_changes"] or 0.0)
    assert fleet(None).registry.get_sample_value("projector_replays_open") == 0


def test_who_keeps_us_waiting_is_named() -> None:
    nobody = fleet(None).registry
    labels = {"role": "ana", "application": "psql"}
    blocked = fleet(None, blocked_seconds={("ana", "psql"): 90.0}).registry
    name = "projector_target_blocked_seconds"
    assert nobody.get_sample_value(name, {"role": "", "application": ""}) == 0
    assert nobody.get_sample_value(name, labels) is None
    assert blocked.get_sample_value(name, labels) == 90
