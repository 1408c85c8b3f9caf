"""Names of the log events around the processor: starting, waiting for servers, ending."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """One name per thing worth a line; those of the processor are in `projector.processor.events`."""

    TARGET_EMBEDDED = "target_embedded"
    TARGET_REVIVED = "target_revived"
    TARGET_UNAVAILABLE = "target_unavailable"
    TARGET_BACK = "target_back"
    SCHEMA_BUSY = "schema_busy"
    SCHEMA_READY = "schema_ready"
    READER_SHARED = "reader_shared"
    SOURCE_UNAVAILABLE = "source_unavailable"
    SOURCE_BACK = "source_back"
    SOURCE_FOUND = "source_found"
    SOURCE_FOLLOWED = "source_followed"
    SOURCE_RECREATED = "source_recreated"
    PROGRESS = "progress"
    LEASES_OF_ANOTHER_TARGET = "leases_of_another_target"
    LEASES_ADOPTED = "leases_adopted"
    LOOK_FAILED = "look_failed"
    PRECONDITION_DOUBTFUL = "precondition_doubtful"
    WEB_STARTED = "web_started"
    WEB_SKIPPED = "web_skipped"
