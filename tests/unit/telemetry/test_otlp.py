"""Spans and metrics as a collector gets them, from exporters that keep them in memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import (
    Histogram,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from typing_extensions import override

from projector.core.names import LeaseToken
from projector.ports.feed import Applied
from projector.ports.traces import BatchTrace, PageTrace
from projector.processor.clock import SystemClock
from projector.telemetry.metrics import Metrics
from projector.telemetry.otlp import Otlp

TOKEN = LeaseToken("7")


class InMemoryMetricExporter(MetricExporter):
    """Keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[MetricsData] = []

    @override
    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = None, **kwargs: Any
    ) -> MetricExportResult:
        self.got.append(metrics_data)
        return MetricExportResult.SUCCESS

    @override
    def force_flush(self, timeout_millis: float | None = None) -> bool:
        return True

    @override
    def shutdown(self, timeout_millis: float | None = None, **kwargs: Any) -> None:
        """Nothing to hang up."""


def otlp(spans: InMemorySpanExporter, metrics: InMemoryMetricExporter | None = None) -> Otlp:
    return Otlp(
        resource={"service.name": "cosmos-projector"},
        clock=SystemClock(),
        spans=spans,
        metrics=metrics or InMemoryMetricExporter(),
    )


def page(began: float) -> PageTrace:
    return PageTrace(
        read=(began, began + 1),
        prepare=(began + 1, began + 1.5),
        documents=10,
        size_bytes=1000,
        request_units=2.5,
    )


async def sent(trace: BatchTrace) -> dict[str, list[ReadableSpan]]:
    spans = InMemorySpanExporter()
    sender = otlp(spans)
    sender.traced(TOKEN, trace)
    await sender.close()
    found: dict[str, list[ReadableSpan]] = {}
    for span in spans.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


async def test_a_batch_is_one_span_with_its_parts_below_it() -> None:
    began = SystemClock().monotonic()
    trace = BatchTrace(
        pages=[page(began), page(began + 2)],
        apply=(began + 4, began + 6),
        applied=Applied(delivered=20, upserted=18, removed=2),
        bookmark=(began + 7, began + 8),
    )

    spans = await sent(trace)

    counts = {name: len(those) for name, those in spans.items()}
    assert counts == {"batch": 1, "read": 2, "prepare": 2, "apply": 1, "bookmark": 1}
    (batch,) = spans["batch"]
    assert batch.attributes is not None
    assert dict(batch.attributes) == {
        "lease_token": "7",
        "pages": 2,
        "documents": 20,
        "upserted": 18,
        "removed": 2,
        "rejected": 0,
        "bytes": 2000,
        "request_units": 5.0,
    }
    parts = [span for name, those in spans.items() if name != "batch" for span in those]
    assert {span.parent.span_id if span.parent else None for span in parts} == {
        batch.context.span_id
    }
    lengths = {
        span.name: round(((span.end_time or 0) - (span.start_time or 0)) / 1e9, 1)
        for span in [*parts, batch]
    }
    assert lengths == {"read": 1.0, "prepare": 0.5, "apply": 2.0, "bookmark": 1.0, "batch": 8.0}
    assert batch.resource.attributes["service.name"] == "cosmos-projector"


async def test_a_batch_without_a_bookmark_of_its_own_ends_with_its_commit() -> None:
    began = SystemClock().monotonic()
    spans = await sent(BatchTrace(pages=[page(began)], apply=(began + 2, began + 3)))
    assert "bookmark" not in spans
    assert spans["batch"][0].end_time == spans["apply"][0].end_time


async def test_metrics_are_those_that_prometheus_scrapes() -> None:
    metrics, exporter = Metrics(version="1.2.3"), InMemoryMetricExporter()
    await metrics.acquired(TOKEN)  # its gap is unknown, and so left out
    for seconds in (0.02, 0.02, 4.0):
        metrics.applied(TOKEN, Applied(delivered=3, upserted=3), seconds=seconds)
    sender = otlp(InMemorySpanExporter(), exporter)

    (whole,) = sender.metrics_data(metrics.collected()).resource_metrics
    found = {one.name: one for one in whole.scope_metrics[0].metrics}

    delivered = found["projector_documents_delivered_total"].data
    assert isinstance(delivered, Sum)
    assert delivered.is_monotonic
    (point,) = delivered.data_points
    assert isinstance(point, NumberDataPoint)
    assert (point.value, dict(point.attributes or {})) == (9.0, {"lease_token": "7"})
    batches = found["projector_batch_seconds"]
    assert isinstance(batches.data, Histogram)
    (times,) = batches.data.data_points
    assert (times.count, round(times.sum, 2), sum(times.bucket_counts)) == (3, 4.04, 3)
    assert len(times.bucket_counts) == len(times.explicit_bounds) + 1
    assert (times.max, batches.unit) == (5.0, "s")
    assert "projector_gap_changes" not in found
    assert "projector_build_info" in found
    await sender.close()


async def test_metrics_are_pushed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projector.telemetry.otlp.EVERY_SECONDS", 0.001)
    exporter = InMemoryMetricExporter()
    sender = otlp(InMemorySpanExporter(), exporter)
    pushing = asyncio.ensure_future(sender.send_metrics(Metrics().collected))
    async with asyncio.timeout(60):
        while len(exporter.got) < 2:  # noqa: ASYNC110 - a thread fills it
            await asyncio.sleep(0.01)
    pushing.cancel()
    await sender.close()


def test_without_a_collector_nothing_of_it_is_imported() -> None:
    asked = "import sys, projector.wiring.service; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
