"""Tells what waiting does not mend, of work beside the ranges that asks a question again and again.

Such work goes on without an answer: an outage passes, and the ranges tell of it. A question that is
refused (it is written wrongly, or a right is missing) or fails here is never answered, and nobody else
asks it. So that is told: once, and again when it went well or met another reason in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from projector.core.errors import Disposition, ProjectorError
from projector.processor.events import Event

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Refusals:
    """Those of one work."""

    def __init__(self, work: str) -> None:
        """Take the name of the work, as people read it."""
        self._work = work
        self._last: str | None = None

    @contextmanager
    def told(self) -> Iterator[None]:
        """Around one attempt: its error goes up as it is, whether it was told or not."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, ProjectorError) or error.disposition is Disposition.ASK_PERSON:
                self._tell(f"{type(error).__name__}: {error}")
            raise
        self._last = None

    def _tell(self, reason: str) -> None:
        if reason != self._last:
            log.warning(Event.WORK_REFUSED, work=self._work, error=reason)
        self._last = reason
