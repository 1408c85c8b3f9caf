"""A collector is named: what speaks to it has to be there, and is told in one line when it is not."""

from __future__ import annotations

import sys

import pytest

from projector.core.errors import SettingsError
from projector.ports.traces import UNTRACED
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.telemetry.metrics import Metrics
from projector.wiring.tracing import tracing


async def test_without_a_collector_nothing_is_traced() -> None:
    async with tracing(Settings(), Metrics(), clock=SystemClock()) as tracer:
        assert tracer is UNTRACED


async def test_without_the_extra_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "projector.telemetry.otlp", None)
    settings = Settings(otlp_endpoint="http://127.0.0.1:4318")
    with pytest.raises(SettingsError, match=r"pip install 'cosmos-projector\[otel\]'"):
        async with tracing(settings, Metrics(), clock=SystemClock()):
            pass


async def test_a_collector_that_is_down_holds_up_nothing() -> None:
    settings = Settings(otlp_endpoint="http://127.0.0.1:9")
    async with tracing(settings, Metrics(), clock=SystemClock()) as tracer:
        assert tracer is not UNTRACED
