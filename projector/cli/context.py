"""What every command needs first: its settings, its log, a clock."""

from __future__ import annotations

from projector.processor.clock import SystemClock
from projector.settings import Settings, load_settings
from projector.telemetry.logs import configure_logging
from projector.wiring.waiting import Waiting


def prepared() -> Settings:
    """Reads the settings and sends the log to standard error."""
    settings = load_settings()
    configure_logging(style=settings.log_format, level=settings.log_level)
    return settings


def prepared_to_look() -> Settings:
    """The same for commands that only look: their log begins at warnings."""
    settings = load_settings()
    level = "debug" if settings.log_level == "debug" else "warning"
    configure_logging(style=settings.log_format, level=level)
    return settings


def patience() -> Waiting:
    """Waits out an outage in real time."""
    return Waiting(clock=SystemClock())
