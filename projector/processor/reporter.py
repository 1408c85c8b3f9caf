"""Tells the target and the observers how each range is doing, about once a second.

The answer names the ranges whose epoch is no longer theirs: they end promptly, before they
waste another read. An outage of the target costs reports and nothing else.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import structlog

from projector.core.errors import ProjectorError
from projector.processor.controller import Controller
from projector.processor.events import Event
from projector.processor.neighbours import Neighbours

P = TypeVar("P")

REPORT_SECONDS = 1.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Reporter(Generic[P]):
    """The reporting task of one host."""

    def __init__(self, *, neighbours: Neighbours[P], controller: Controller[P]) -> None:
        self._neighbours = neighbours
        self._controller = controller
        self._failing = False

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await self._neighbours.clock.sleep(REPORT_SECONDS)
            try:
                await self.report()
            except Exception as error:  # noqa: BLE001 - reports must not stop the host
                log.warning(Event.REPORT_FAILED, error=repr(error))

    async def report(self) -> None:
        """Report once."""
        reports = self._controller.reports()
        for report in reports:
            self._neighbours.observer.observed(report)
        if not reports:
            return
        try:
            lost = await self._neighbours.sink.report(reports)
        except ProjectorError as error:
            if not self._failing:
                log.warning(Event.REPORT_FAILED, error=f"{type(error).__name__}: {error}")
            self._failing = True
            return
        self._failing = False
        epochs = {report.lease_token: report.epoch for report in reports}
        self._controller.fenced_out({token: epochs[token] for token in lost})
