"""Structured logs on standard error: for people on a terminal, as JSON or key=value elsewhere.

An event is a constant name with fields. Secrets do not get here, because settings keep them as
`SecretStr`; what a library repeats of one is cut out before a line is written, tracebacks included.
Documents are never logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from projector.core.secrets import scrubbed
from projector.core.texts import printable
from projector.telemetry.outlet import Outlet, error_outlet

LINES_LOST = "log_lines_lost"
LogFormat = Literal["auto", "console", "json", "logfmt"]


class Event(StrEnum):
    """Names of events around the processor; its own are in `projector.processor.events`."""

    TARGET_EMBEDDED = "target_embedded"
    TARGET_REVIVED = "target_revived"
    TARGET_UNAVAILABLE = "target_unavailable"
    TARGET_BACK = "target_back"
    SCHEMA_BUSY = "schema_busy"
    SCHEMA_READY = "schema_ready"
    DEFINITION_DIFFERS = "definition_differs"
    READER_SHARED = "reader_shared"
    SOURCE_UNAVAILABLE = "source_unavailable"
    SOURCE_BACK = "source_back"
    SOURCE_FOUND = "source_found"
    SOURCE_FOLLOWED = "source_followed"
    SOURCE_RECREATED = "source_recreated"
    GENERATION_FED = "generation_fed"
    GENERATION_LIVE = "generation_live"
    GENERATION_ENDED = "generation_ended"
    GENERATION_FAILED = "generation_failed"
    GENERATION_KEPT = "generation_kept"
    PROGRESS = "progress"
    LEASES_OF_ANOTHER_TARGET = "leases_of_another_target"
    LEASES_ADOPTED = "leases_adopted"
    LOOK_FAILED = "look_failed"
    PRECONDITION_DOUBTFUL = "precondition_doubtful"
    WEB_STARTED = "web_started"
    SAMPLE_MISSED = "sample_missed"
    CONSOLE_CLOSED = "console_closed"
    WEB_SKIPPED = "web_skipped"


def configure_logging(*, style: LogFormat, level: str, stream: TextIO | None = None) -> None:
    """Sends the log of our own code, and the warnings of libraries, to `stream` (stderr)."""
    out = error_outlet() if stream is None else stream
    rendering = _rendering("console" if style == "auto" and out.isatty() else style)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _without_secrets,
    ]
    if isinstance(out, Outlet):
        out.tell_lost = _teller([*shared, *rendering])
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", out)),
        cache_logger_on_first_use=False,
    )
    _quiet_libraries(out, shared, rendering)


def _teller(processors: list[Processor]) -> Callable[[int], str]:
    """A line of the log that was written by nobody."""

    def tell(count: int) -> str:
        event: Any = {"event": LINES_LOST, "count": count}
        for process in processors:
            event = process(None, "warning", event)
        return f"{event}\n"

    return tell


def _rendering(style: str) -> list[Processor]:
    if style == "json":
        return [structlog.processors.JSONRenderer()]  # in ASCII: everything else is escaped
    if style == "console":
        formatter = structlog.dev.plain_traceback
        return [_plain_texts, structlog.dev.ConsoleRenderer(exception_formatter=formatter)]
    first = ["timestamp", "level", "event"]
    return [_plain_texts, structlog.processors.LogfmtRenderer(key_order=first, bool_as_flag=False)]


def _without_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: _clean(value) for name, value in event.items()}


def _clean(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    clean = scrubbed(text)
    return value if clean == text else clean


def _plain_texts(_logger: object, _method: str, event: EventDict) -> EventDict:
    """What a stranger wrote is a text in the log: it forges no line and steers no terminal."""
    return {name: _plain(name, value) for name, value in event.items()}


def _plain(name: str, value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if name == "exception":  # a traceback has lines of its own
        return "\n".join(printable(line) for line in str(value).split("\n"))
    return printable(str(value))


def _quiet_libraries(
    stream: TextIO | Outlet, shared: list[Processor], rendering: list[Processor]
) -> None:
    """Libraries use the standard logger: their warnings take the same form, the rest is dropped."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *rendering,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # Their retries are ours to report, once, as a state of the range; whatever azure logs it raises, too.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
