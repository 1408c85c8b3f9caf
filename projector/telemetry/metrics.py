"""Prometheus metrics of one host, fed as an observer of the change feed processor.

Names begin with `projector_` and end in their base unit; those of the process are the usual
`process_*`. A gap or lag that is unknown is NaN, never 0; a counter is there at 0 as soon as its
range is. `docs/reference/metrics.md` lists them; a test keeps that page complete.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import Metric

from projector.core.names import LeaseToken
from projector.core.states import CloseReason, RangeState, Removal
from projector.ports.feed import Applied, Page, RangeReport, Spent
from projector.telemetry.fleet import FleetCollector, FleetFigures

BATCH_SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
UNKNOWN = math.nan
BY_RANGE = ("lease_token",)
OUTCOMES = ("upserted", "removed", "unchanged", "rejected", "filtered")
OUTAGES = ("SinkUnavailable", "SourceUnavailable", "Throttled")
"""Errors whose counter is there before the first of them; each other one comes with its first."""


class Metrics:
    """Implements `ports.feed.Observer`; one registry of its own, so tests do not share state."""

    def __init__(
        self,
        figures: Callable[[], FleetFigures] | None = None,
        *,
        reports: Callable[[], Sequence[RangeReport]] = tuple,
        version: str = "unknown",
    ) -> None:
        """Registers every metric.

        Args:
            figures: Tells of the whole fleet at each scrape.
            reports: Tells of this host's ranges at each scrape: the reports that a host sends wait
                for PostgreSQL, and what they said before an outage is no figure of now.
            version: What runs.
        """
        self._reports = reports
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.fleet = None if figures is None else FleetCollector(figures)
        if self.fleet is not None:
            self.registry.register(self.fleet)
        self.build = self._gauge(
            "projector_build_info", "1 for the version that runs.", ("version",)
        )
        self.build.labels(version).set(1)
        self._count_changes()
        self._count_requests()
        self._show_ranges()
        self._show_markers(figures)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = BY_RANGE) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = BY_RANGE) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _count_changes(self) -> None:
        counter = self._counter
        self.documents = counter(
            "projector_documents_total",
            "Documents of committed batches by outcome.",
            ("lease_token", "outcome"),
        )
        self.removed = counter(
            "projector_rows_removed_total",
            "Rows that went, by cause.",
            ("cause",),
        )
        for cause in Removal:
            self.removed.labels(cause.value)
        self.delivered = counter(
            "projector_documents_delivered_total", "Documents delivered by the feed and committed."
        )
        self.polls = counter("projector_polls_total", "Answered reads of the feed.")
        self.request_units = counter(
            "projector_request_units_total", "Request units the reads cost."
        )
        self.page_bytes = counter("projector_page_bytes_total", "Bytes of the pages read.")
        self.failures = counter(
            "projector_range_failures_total",
            "Errors that ended or paused a range.",
            ("lease_token", "error_type"),
        )
        self.leases_acquired = counter(
            "projector_leases_acquired_total", "Times this host took the lease."
        )
        self.leases_released = counter(
            "projector_leases_released_total",
            "Times this host ceased to read the range, by reason.",
            ("lease_token", "reason"),
        )
        self.batch_seconds = Histogram(
            "projector_batch_seconds",
            "Time from the start of a batch's transaction to its commit.",
            buckets=BATCH_SECONDS_BUCKETS,
            registry=self.registry,
        )

    def _count_requests(self) -> None:
        by_operation = ("container", "operation")
        self.requests = self._counter(
            "projector_cosmos_requests_total", "Answered requests to Cosmos DB.", by_operation
        )
        self.spent_units = self._counter(
            "projector_cosmos_request_units_total",
            "Request units that Cosmos DB charged for them.",
            by_operation,
        )
        self.throttled = self._counter(
            "projector_cosmos_throttled_total", "Those that it refused with 429.", by_operation
        )
        self.waited = self._counter(
            "projector_budget_waited_seconds_total",
            "Time that reads have waited for their turn in PROJECTOR_MAX_REQUEST_UNITS.",
            (),
        )

    def _show_markers(self, figures: Callable[[], FleetFigures] | None) -> None:
        self._least_ttl = UNKNOWN
        self.marker_ttl = self._gauge(
            "projector_marker_ttl_seconds",
            "Smallest ttl of a marker that this host has seen; NaN before the first.",
            (),
        )
        self.marker_ttl.set_function(lambda: self._least_ttl)
        self.marker_headroom = self._gauge(
            "projector_marker_headroom_seconds",
            "That ttl less the age of the oldest rows: a marker that expires unread is never seen.",
            (),
        )
        self.marker_headroom.set_function(
            lambda: self._least_ttl - (UNKNOWN if figures is None else figures().oldest_seconds)
        )

    def _show_ranges(self) -> None:
        gauge = self._gauge
        self.owned = gauge("projector_leases_owned", "Leases this host owns.", ())
        self.gap = gauge("projector_gap_changes", "Changes not yet committed; NaN while unknown.")
        self.lag = gauge(
            "projector_lag_seconds",
            "Age of the oldest change not yet committed; NaN while unknown.",
        )
        self.state = gauge(
            "projector_range_state", "1 for the state the range is in.", ("lease_token", "state")
        )
        self.newest = gauge(
            "projector_newest_change_timestamp_seconds", "Time of the newest committed change."
        )

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format."""
        self._look()
        return generate_latest(self.registry)

    def collected(self) -> Iterable[Metric]:
        """The same as values."""
        self._look()
        return self.registry.collect()

    def _look(self) -> None:
        for report in self._reports():
            self.observed(report)

    async def acquired(self, token: LeaseToken) -> None:
        """Counts the lease as owned; all its counters begin now, if they have not yet."""
        self.owned.inc()
        self.leases_acquired.labels(token).inc()
        for reason in CloseReason:
            self.leases_released.labels(token, reason.value)
        for counter in (self.delivered, self.polls, self.request_units, self.page_bytes):
            counter.labels(token)
        for outcome in OUTCOMES:
            self.documents.labels(token, outcome)
        for error_type in OUTAGES:
            self.failures.labels(token, error_type)
        self.gap.labels(token).set(UNKNOWN)
        self.lag.labels(token).set(UNKNOWN)

    async def released(self, token: LeaseToken, reason: CloseReason) -> None:
        """Drops what is known only while the lease is owned."""
        self.owned.dec()
        self.leases_released.labels(token, reason.value).inc()
        for metric in (self.gap, self.lag):
            metric.remove_by_labels({"lease_token": token})
        self.state.remove_by_labels({"lease_token": token})

    async def failed(self, token: LeaseToken, error: Exception) -> None:
        """Counts the error by its type."""
        self.failures.labels(token, type(error).__name__).inc()

    def polled(self, token: LeaseToken, page: Page) -> None:
        """Counts a read, its cost and its bytes."""
        self.polls.labels(token).inc()
        self.request_units.labels(token).inc(page.request_units)
        self.page_bytes.labels(token).inc(page.size_bytes)

    def applied(self, token: LeaseToken, applied: Applied, *, seconds: float) -> None:
        """Counts a committed batch."""
        self.batch_seconds.observe(seconds)
        self.delivered.labels(token).inc(applied.delivered)
        for outcome in OUTCOMES:
            self.documents.labels(token, outcome).inc(getattr(applied, outcome))
        self.rows_removed(applied.removed_by, applied.removed)
        if applied.least_ttl_seconds is not None:
            known = self._least_ttl
            self._least_ttl = min(applied.least_ttl_seconds, known if known == known else math.inf)  # noqa: PLR0124 - NaN
        if applied.newest_time is not None:
            self.newest.labels(token).set(applied.newest_time.timestamp())

    def rows_removed(self, cause: Removal, count: int) -> None:
        """Counts rows that went, whoever found it out."""
        self.removed.labels(cause.value).inc(count)

    def spent(self, spent: Spent) -> None:
        """Counts an answered request, its cost, and whether it was refused for its cost."""
        labels = spent.container, spent.operation
        self.requests.labels(*labels).inc()
        self.spent_units.labels(*labels).inc(spent.request_units)
        self.throttled.labels(*labels).inc(spent.throttled)

    def waited_for_units(self, seconds: float) -> None:
        """Counts how long a read has waited for request units of our own limit."""
        self.waited.inc(seconds)

    def observed(self, report: RangeReport) -> None:
        """Shows the condition of a range."""
        token = report.lease_token
        self.gap.labels(token).set(UNKNOWN if report.gap_changes is None else report.gap_changes)
        self.lag.labels(token).set(UNKNOWN if report.lag_seconds is None else report.lag_seconds)
        for state in RangeState:
            self.state.labels(token, state.value).set(float(state is report.state))
