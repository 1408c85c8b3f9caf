"""Traces and metrics over OTLP: one span per batch, and what `/metrics` shows, pushed now and then.

Imported only where a collector is named, since it needs the extra `otel`. Spans are sent by a thread of the
SDK, in bunches; metrics are taken from the registry that Prometheus scrapes, so both tell the same. A
collector that is down costs what it did not get: it holds up nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from projector.core.names import LeaseToken
from projector.ports.feed import Clock
from projector.ports.traces import BatchTrace, Phase

SCOPE = "projector"
EVERY_SECONDS = 15.0
SEND_SECONDS = 3.0
"""A collector that does not answer for so long gets nothing; the end of a host waits no longer."""

NANO = 1_000_000_000
UNITS = {"seconds": "s", "bytes": "By", "ratio": "1"}


class Otlp:
    """What one process sends to a collector."""

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        resource: Mapping[str, str],
        clock: Clock,
        spans: SpanExporter | None = None,
        metrics: MetricExporter | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            endpoint: URL of the collector, without `/v1/...`.
            resource: What is said of this process.
            clock: By which the moments of traces are.
            spans: Takes spans instead of the collector.
            metrics: Takes metrics instead of the collector.
        """
        base = (endpoint or "").rstrip("/")
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        self._clock = clock
        self._resource = Resource.create(dict(resource))
        self._provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                spans or OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=SEND_SECONDS)
            )
        )
        self._tracer = self._provider.get_tracer(SCOPE)
        self._metrics = metrics or OTLPMetricExporter(
            endpoint=f"{base}/v1/metrics", timeout=SEND_SECONDS
        )
        self._began = self._now()

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * NANO)

    def traced(self, token: LeaseToken, trace_of: BatchTrace) -> None:
        """Send one batch as a span with its parts below it."""
        ahead = self._clock.now().timestamp() - self._clock.monotonic()

        def at(moment: float) -> int:
            return int((ahead + moment) * NANO)

        ended = trace_of.apply[1] if trace_of.bookmark is None else trace_of.bookmark[1]
        began = min(page.read[0] for page in trace_of.pages)
        root = self._tracer.start_span(
            "batch", start_time=at(began), attributes=_about(token, trace_of)
        )
        below = trace.set_span_in_context(root)
        for name, phase in _parts(trace_of):
            part = self._tracer.start_span(name, context=below, start_time=at(phase[0]))
            part.end(end_time=at(phase[1]))
        root.end(end_time=at(ended))

    async def send_metrics(self, collect: Callable[[], Iterable[Family]]) -> None:
        """Push what is collected every quarter of a minute; never returns."""
        while True:
            await self._clock.sleep(EVERY_SECONDS)
            data = self.metrics_data(collect())
            await asyncio.to_thread(self._metrics.export, data)

    def metrics_data(self, families: Iterable[Family]) -> MetricsData:
        """What Prometheus would scrape, in the words of OTLP."""
        now = self._now()
        metrics = [one for family in families for one in _metric(family, self._began, now)]
        scope = ScopeMetrics(scope=InstrumentationScope(SCOPE), metrics=metrics, schema_url="")
        return MetricsData(
            [ResourceMetrics(resource=self._resource, scope_metrics=[scope], schema_url="")]
        )

    async def close(self) -> None:
        """Send what waits, for a moment, and hang up."""
        await asyncio.to_thread(self._provider.shutdown)
        await asyncio.to_thread(self._metrics.shutdown)


def _about(token: LeaseToken, trace_of: BatchTrace) -> Mapping[str, str | int | float]:
    applied = trace_of.applied
    return {
        "lease_token": token,
        "pages": len(trace_of.pages),
        "documents": applied.delivered,
        "upserted": applied.upserted,
        "removed": applied.removed,
        "rejected": applied.rejected,
        "bytes": sum(page.size_bytes for page in trace_of.pages),
        "request_units": sum(page.request_units for page in trace_of.pages),
    }


def _parts(trace_of: BatchTrace) -> Iterator[tuple[str, Phase]]:
    for page in trace_of.pages:
        yield "read", page.read
        yield "prepare", page.prepare
    yield "apply", trace_of.apply
    if trace_of.bookmark is not None:
        yield "bookmark", trace_of.bookmark


def _metric(family: Family, began: int, now: int) -> Iterator[Metric]:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    unit = UNITS.get(family.name.rpartition("_")[2], "")
    match family.type:
        case "counter":
            points = _points(family, f"{family.name}_total", began, now)
            whole = AggregationTemporality.CUMULATIVE
            data: Sum | Gauge | Histogram = Sum(points, whole, is_monotonic=True)
        case "histogram":
            data = Histogram(_buckets(family, began, now), AggregationTemporality.CUMULATIVE)
        case _:
            data = Gauge(_points(family, family.name, began, now))
    if data.data_points:
        yield Metric(name=name, description=family.documentation, unit=unit, data=data)


def _points(family: Family, name: str, began: int, now: int) -> Sequence[NumberDataPoint]:
    """Its samples; one that is NaN is unknown, and left out."""
    return [
        NumberDataPoint(
            attributes=dict(sample.labels),
            start_time_unix_nano=began,
            time_unix_nano=now,
            value=sample.value,
        )
        for sample in family.samples
        if sample.name == name and sample.value == sample.value
    ]


def _buckets(family: Family, began: int, now: int) -> Sequence[HistogramDataPoint]:
    """The histogram without labels that a family of ours is: counts per bucket, not up to it."""
    upto = [(s.labels["le"], s.value) for s in _named(family, "_bucket")]
    counts = [value for _, value in upto]
    each = [int(value - before) for value, before in zip(counts, [0.0, *counts[:-1]], strict=True)]
    reached = [bound for (bound, _), count in zip(upto, each, strict=True) if count]
    (total,) = [s.value for s in _named(family, "_sum")]
    return [
        HistogramDataPoint(
            attributes={},
            start_time_unix_nano=began,
            time_unix_nano=now,
            count=int(counts[-1]),
            sum=total,
            bucket_counts=each,
            explicit_bounds=[float(bound) for bound, _ in upto[:-1]],
            min=0.0,
            max=float(reached[-1]) if reached else 0.0,
        )
    ]


def _named(family: Family, ending: str) -> Sequence[Sample]:
    return [sample for sample in family.samples if sample.name == family.name + ending]
