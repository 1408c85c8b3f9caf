"""Traces and metrics for a collector, where one is named; without one nothing is imported and nothing is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from projector import __version__
from projector.core.errors import SettingsError
from projector.ports.feed import Clock
from projector.ports.traces import UNTRACED, Tracer
from projector.postgres.beside import beside
from projector.settings import Settings
from projector.telemetry.metrics import Metrics


@asynccontextmanager
async def tracing(settings: Settings, metrics: Metrics, *, clock: Clock) -> AsyncIterator[Tracer]:
    """Send as long as the block lasts.

    Raises:
        SettingsError: A collector is named, and the extra that speaks to it is not installed.
    """
    if settings.otlp_endpoint is None:
        yield UNTRACED
        return
    try:
        from projector.telemetry.otlp import Otlp  # noqa: PLC0415 - an extra, and a second to import
    except ImportError as error:
        raise SettingsError(
            "PROJECTOR_OTLP_ENDPOINT needs the extra otel:"
            f" pip install 'cosmos-projector[otel]' ({error.name} is not installed)"
        ) from error
    otlp = Otlp(
        endpoint=settings.otlp_endpoint,
        resource={
            "service.name": "cosmos-projector",
            "service.version": __version__,
            "service.instance.id": settings.instance_name,
            "projector.processor": settings.processor_name,
        },
        clock=clock,
    )
    try:
        async with beside(otlp.send_metrics(metrics.collected), name="host:otlp"):
            yield otlp
    finally:
        await otlp.close()
