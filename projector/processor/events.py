"""Names of the log events of the processor; constants, so that people can search for them."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """One name per thing worth a line."""

    HOST_STARTED = "host_started"
    HOST_STOPPING = "host_stopping"
    HOST_STOPPED = "host_stopped"
    STOP_CUT_SHORT = "stop_cut_short"
    BOOTSTRAP_WAITING = "bootstrap_waiting"
    BOOTSTRAPPED = "bootstrapped"
    LEASES_REPAIRED = "leases_repaired"
    LEASES_IMPLAUSIBLE = "leases_implausible"
    INSTANCE_NAME_SHARED = "instance_name_shared"
    START_FROM_IGNORED = "start_from_ignored"
    LISTING_FAILED = "listing_failed"
    ACQUIRE_FAILED = "acquire_failed"
    LEASE_ACQUIRED = "lease_acquired"
    LEASE_RELEASED = "lease_released"
    RELEASE_FAILED = "release_failed"
    RENEWAL_FAILED = "renewal_failed"
    CHECKPOINT_FAILED = "checkpoint_failed"
    RANGE_STARTED_OVER = "range_started_over"
    RANGE_RESUMED = "range_resumed"
    RANGE_WAITING = "range_waiting"
    RANGE_GOES_ON = "range_goes_on"
    RANGE_FAILED = "range_failed"
    RANGE_STALLED = "range_stalled"
    RANGE_ABORTED = "range_aborted"
    RANGE_REPLACED = "range_replaced"
    SOURCE_WENT_BACK = "source_went_back"
    SOURCE_REBUILT = "source_rebuilt"
    REPLAY_SETTLED = "replay_settled"
    REPORT_FAILED = "report_failed"
    WORK_REFUSED = "work_refused"
    OBSERVER_FAILED = "observer_failed"
    CAUGHT_UP = "caught_up"
    NOT_CAUGHT_UP = "not_caught_up"
