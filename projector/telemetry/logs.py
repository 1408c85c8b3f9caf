"""Structured logs on standard error: for people on a terminal, as JSON or key=value elsewhere.

An event is a constant name with fields; values that look like secrets never get here, because
settings keep them as `SecretStr`. Documents are never logged.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import Processor

LogFormat = Literal["auto", "console", "json", "logfmt"]


def configure_logging(*, style: LogFormat, level: str, stream: TextIO | None = None) -> None:
    """Sends the log of our own code, and the warnings of libraries, to `stream` (stderr)."""
    stream = stream or sys.stderr
    renderer = _renderer("console" if style == "auto" and stream.isatty() else style)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _quiet_libraries(stream, shared, renderer)


def _renderer(style: str) -> Processor:
    if style == "console":
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    if style == "json":
        return structlog.processors.JSONRenderer()
    return structlog.processors.LogfmtRenderer(
        key_order=["timestamp", "level", "event"], bool_as_flag=False
    )


def _quiet_libraries(stream: TextIO, shared: list[Processor], renderer: Processor) -> None:
    """Libraries use the standard logger: their warnings take the same form, the rest is dropped."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for chatty in ("azure", "psycopg.pool"):
        # Their retries are ours to report, once, as a state of the range.
        logging.getLogger(chatty).setLevel(logging.ERROR)
