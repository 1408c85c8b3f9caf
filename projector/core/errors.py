"""Every error the project raises on purpose, in one tree.

    ProjectorError
    ├── ConfigurationError            a person must change a setting or a right
    │   ├── KeyRefused                the account key is wrong (401)
    │   ├── AccessRefused             a right is missing, or a firewall is closed (403)
    │   ├── PreconditionFailed        a host must not start like this
    │   ├── OtherSource               the settings name another container than the copied one
    │   ├── ProjectionChanged         the rows were made under another filter
    │   └── TooManyRejected           these cannot be the documents that are meant
    ├── FeedError
    │   ├── FeedRangeGone             the range was split or merged: look up its successors
    │   ├── ContinuationRefused       the service does not know this position: ask a person
    │   ├── SourceRecreated           the container has another _rid: stop, keep the rows
    │   ├── SourceMissing             the container or database is not there
    │   ├── SourceUnavailable         outage: wait in place and retry
    │   ├── CredentialExpired         403/5300: rebuild the client, then retry
    │   ├── PageTooLarge              halve the page and retry
    │   └── Throttled                 429: wait as told, longer each time, keep the lease
    ├── LeaseError
    │   ├── LeaseLost                 somebody else owns it, or its token was changed: give back
    │   ├── LeaseMissing              the document is gone: bootstrap again
    │   ├── LeaseConflict             another write came first: re-read and decide again
    │   └── LeaseStoreUnavailable     outage of the lease container: wait and retry
    ├── SinkError
    │   ├── SinkUnavailable           outage of the target: wait in place, lose nothing
    │   │   ├── SchemaBusy            others hold what an upgrade of the schema needs: try again
    │   │   └── SinkTooSlow           it was asked for too much at once: ask for less
    │   ├── SinkRefused               a right, the user or the password is wrong: ask a person
    │   ├── FencedOut                 a newer epoch owns the range: stop at once, write nothing
    │   └── SchemaMismatch            the tables are not at the version this program needs
    ├── HandlerFailed                 user code raised: give the range back, redeliver
    └── RebuildError                  a rebuild, sweep or verify could not go on

Each class answers "retry, give back, stop or ask a person?" by its `disposition`. A bad
document is not here: it is a value (`Rejection`), not an exception.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from projector.core.names import SourceName
from projector.core.secrets import scrubbed


class Disposition(StrEnum):
    """What the loop that meets an error does next."""

    RETRY = "retry"
    GIVE_BACK = "give_back"
    STOP_RANGE = "stop_range"
    ASK_PERSON = "ask_person"


class ProjectorError(Exception):
    """Base of all; the message is one line: the cause, then the remedy."""

    disposition: ClassVar[Disposition] = Disposition.GIVE_BACK

    def __init__(self, *parts: object) -> None:
        """Take the message; a secret that a library repeated in it is cut out."""
        super().__init__(*(scrubbed(part) if isinstance(part, str) else part for part in parts))


class ConfigurationError(ProjectorError):
    """A setting, a right or a name is wrong; only a person can mend it."""

    disposition = Disposition.ASK_PERSON


class SettingsError(ConfigurationError):
    """A setting is missing, unknown or wrong; one line that begins with its name."""


class KeyRefused(ConfigurationError):
    """The account does not take this key."""


class AccessRefused(ConfigurationError):
    """The account knows the caller, who may not do what was asked."""


class PreconditionFailed(ConfigurationError):
    """Something that a host relies on is not so; found before it began."""


class OtherSource(ConfigurationError):
    """The settings name another container than the one copied so far."""

    def __init__(self, *, copied: SourceName, configured: SourceName) -> None:
        """Take both names; the message says how to keep the one and how to take the other."""
        super().__init__(
            f"this database copies {copied}; your settings say {configured}: correct"
            " PROJECTOR_COSMOS_ENDPOINT, PROJECTOR_COSMOS_DATABASE and PROJECTOR_COSMOS_CONTAINER, or"
            " PROJECTOR_DATABASE_URL; to make this database a copy of the other container type:"
            f" projector leases reset --accept-other-source {configured}"
        )
        self.copied = copied
        self.configured = configured


class ProjectionChanged(ConfigurationError):
    """The filter is not the one under which the rows were made."""

    def __init__(self, *, stored: str, configured: str) -> None:
        """Take both definitions; the message says how to go on with either."""
        super().__init__(
            f"the rows of this database are those of `{stored}`; your settings say `{configured}`:"
            " set PROJECTOR_ONLY_WHERE and PROJECTOR_ONLY_WITH as before, or, to read the container"
            " anew under the new filter, type: projector leases reset --accept-new-projection"
        )
        self.stored = stored
        self.configured = configured


class TooManyRejected(ConfigurationError):
    """So many of the first documents cannot be projected that they cannot be the ones meant."""


class FeedError(ProjectorError):
    """Reading the container failed."""


class FeedRangeGone(FeedError):
    """The physical range behind a feed range is no longer what it was (410, split, merge)."""

    disposition = Disposition.STOP_RANGE


class ContinuationRefused(FeedError):
    """The service refused the position as malformed (400)."""

    disposition = Disposition.ASK_PERSON


class SourceRecreated(FeedError):
    """The container of this name is another one than the one copied so far."""

    disposition = Disposition.STOP_RANGE

    def __init__(
        self, *, expected_rid: str, found_rid: str, copied: SourceName | None = None
    ) -> None:
        """Take both container ids, and the name of the copied one where it is known."""
        of = expected_rid if copied is None else f"{expected_rid} ({copied})"
        super().__init__(
            f"source recreated: the container now has _rid {found_rid}, the copy is of {of};"
            " to follow it type: projector leases reset --accept-new-source"
        )
        self.expected_rid = expected_rid
        self.found_rid = found_rid


class SourceMissing(FeedError):
    """The database or container does not exist (404 without a session sub-status)."""


class SourceUnavailable(FeedError):
    """The service does not answer or answers with an outage (408, 449, 5xx, reset, hang)."""

    disposition = Disposition.RETRY


class CredentialExpired(FeedError):
    """The service refuses an aged Entra token (403/5300); a rebuilt client gets a new one."""

    disposition = Disposition.RETRY


class PageTooLarge(FeedError):
    """The service cannot build a page of the size asked for (413, or 400 while it may be the size)."""

    disposition = Disposition.RETRY


class Throttled(FeedError):
    """429: the request budget is used up for `retry_after_seconds`."""

    disposition = Disposition.RETRY

    def __init__(self, *, retry_after_seconds: float) -> None:
        """Take the wait that the service asked for, in seconds."""
        super().__init__(f"throttled by the source for {retry_after_seconds:.3f} s")
        self.retry_after_seconds = retry_after_seconds


class LeaseError(ProjectorError):
    """Reading or writing a lease failed."""


class LeaseLost(LeaseError):
    """Another host owns the lease, or its token is not the one this host wrote last."""


class LeaseMissing(LeaseError):
    """The lease document does not exist any more."""


class LeaseConflict(LeaseError):
    """The lease document changed since it was read (412)."""

    disposition = Disposition.RETRY


class LeaseStoreUnavailable(LeaseError):
    """The lease container does not answer or answers with an outage."""

    disposition = Disposition.RETRY

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        """Take the reason and, where it is throttled, the wait that it asks for."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class SinkError(ProjectorError):
    """Writing to the target failed."""


class SinkUnavailable(SinkError):
    """The target is down, read-only, full or asks to try again; nothing was lost."""

    disposition = Disposition.RETRY

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        """Take the server's reason and, where it gave one, its SQLSTATE."""
        super().__init__(message)
        self.sqlstate = sqlstate


class SchemaBusy(SinkUnavailable):
    """An upgrade of the schema needs locks that others hold; it lets go and tries again."""


class SinkTooSlow(SinkUnavailable):
    """The target did not finish in time, or not in its memory; less at once may do."""


class SinkRefused(ConfigurationError, SinkError):
    """The target answers, and says no: a right is missing, the user or the password is wrong."""


class FencedOut(SinkError):
    """A newer epoch owns the range; nothing of this transaction was committed."""


class SchemaMismatch(SinkError):
    """The schema is older or newer than this program needs."""

    disposition = Disposition.ASK_PERSON


class HandlerFailed(ProjectorError):
    """The handler given by the user raised; `__cause__` is its exception."""


class RebuildError(ProjectorError):
    """A rebuild, sweep or verify could not go on."""

    disposition = Disposition.ASK_PERSON


def first_of(error: BaseException) -> BaseException:
    """The error itself; of a group, and of groups inside it, the first one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
