"""Errors of the SDK, its transport and the service, told as errors of the project.

The one table of "what does this answer mean"; callers refine it only where the request itself
gives a status another meaning (a 404 for a document, a 412 under an etag). Messages are one line,
name the cause and the remedy, and never hold a key, a token or a request header.
Source: Cosmos DB REST API, HTTP status codes; docs/reference/errors.md for what follows from each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.cosmos.exceptions import CosmosHttpResponseError
from typing_extensions import override

from projector.core.errors import (
    AccessRefused,
    ConfigurationError,
    CredentialExpired,
    FeedRangeGone,
    KeyRefused,
    PageTooLarge,
    ProjectorError,
    SourceMissing,
    SourceUnavailable,
    Throttled,
)
from projector.cosmos.unreachable import mistake_of, proxy_refused
from projector.cosmos.wire import RETRY_AFTER, clock_ahead_seconds, wait_seconds

WRITE_FORBIDDEN = 3
ACCOUNT_MOVED = 1008
SESSION_NOT_AVAILABLE = 1002
OWNER_MISSING = 1003
RID_MISMATCH = 1024
DEFAULT_RETRY_AFTER_SECONDS = 0.5
MAX_REASON = 240
CLOCK_SECONDS = 300.0
"""From so much on a clock explains a refusal: Entra allows five minutes, a key's signature fifteen."""

SDK_ERRORS = (
    AzureError,
    OSError,  # includes TimeoutError
    RecursionError,  # the SDK calls itself while a range stays gone
    ValueError,  # the SDK parsing what it did not expect
    LookupError,
    TypeError,
    AttributeError,
)
"""What a call of the SDK may raise beside our own errors; all else is a bug of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLabel:
    """What was talked to, for messages.

    `settings` are the names a person would correct; `proxy` is what stands between, as it may be
    shown.
    """

    endpoint: str
    database: str
    container: str
    settings: str = "PROJECTOR_COSMOS_DATABASE and PROJECTOR_COSMOS_CONTAINER"
    has_key: bool = True
    proxy: str | None = None

    @override
    def __str__(self) -> str:
        """The container as it stands in messages."""
        return f"container {self.container!r} of database {self.database!r} at {self.endpoint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer of 400 or above."""

    status: int
    substatus: int | None = None
    reason: str = ""
    retry_after_seconds: float | None = None
    clock_ahead_seconds: float | None = None

    @override
    def __str__(self) -> str:
        """Status, sub-status and the service's words in one line."""
        code = f"{self.status}/{self.substatus}" if self.substatus else str(self.status)
        return f"{code} {self.reason}".rstrip()


class RegionMoved(SourceUnavailable):
    """The account serves from another region now; a new client finds out which."""


class SessionAhead(SourceUnavailable):
    """The session token is ahead of the answering replica, or of a container made since."""


def translate(error: Exception, label: ContainerLabel) -> ProjectorError:
    """What any error that left the SDK means."""
    if isinstance(error, ProjectorError):
        return error
    if isinstance(error, CosmosHttpResponseError):
        return refused(refusal_of(error), label)
    if isinstance(error, ClientAuthenticationError):
        return ConfigurationError(
            f"no Entra credential for {label.endpoint}: {one_line(str(error))};"
            " set PROJECTOR_COSMOS_KEY, or sign in (managed identity, az login)"
        )
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return _unanswered(error, label)
    if isinstance(error, TimeoutError):
        return SourceUnavailable(f"{label} did not answer in time")
    return _unusable(error, label)


def _unusable(error: Exception, label: ContainerLabel) -> SourceUnavailable:
    return SourceUnavailable(
        f"{label} answered in a way that cannot be used:"
        f" {type(error).__name__}: {one_line(str(error))}"
    )


def _unanswered(
    error: ServiceRequestError | ServiceResponseError, label: ContainerLabel
) -> ProjectorError:
    mistake = mistake_of(error, endpoint=label.endpoint, proxy=label.proxy)
    if mistake is not None:
        return mistake
    if isinstance(error, ServiceResponseTimeoutError):
        return SourceUnavailable(f"{label} did not answer in time")
    if isinstance(error, ServiceRequestError):
        way = "" if label.proxy is None else f" through the proxy {label.proxy}"
        return SourceUnavailable(
            f"cannot reach {label.endpoint}{way}: {one_line(str(error))};"
            " check PROJECTOR_COSMOS_ENDPOINT and the network"
        )
    return _unusable(error, label)


def refused(refusal: Refusal, label: ContainerLabel) -> ProjectorError:
    """What a refusal means, whatever was asked."""
    maker = _BY_SUBSTATUS.get((refusal.status, refusal.substatus)) or _BY_STATUS.get(refusal.status)
    if maker is None:
        return SourceUnavailable(f"{label} answered {refusal}")
    return maker(refusal, label)


def refusal_of(error: CosmosHttpResponseError) -> Refusal:
    """The refusal that the SDK wrapped into an exception."""
    response = error.response
    return Refusal(
        status=error.status_code or 0,
        substatus=error.sub_status,
        reason=reason_of(error.http_error_message),
        retry_after_seconds=wait_seconds((error.headers or {}).get(RETRY_AFTER)),
        clock_ahead_seconds=None if response is None else clock_ahead_seconds(response),
    )


class _ErrorBody(msgspec.Struct):
    message: str = ""


def reason_of(body: object) -> str:
    """The service's words, out of its JSON error body where it is one; one line."""
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    text = str(body or "")
    try:
        return one_line(msgspec.json.decode(text, type=_ErrorBody).message)
    except msgspec.DecodeError:
        return one_line(text)


def one_line(text: str) -> str:
    """The first line, cut to a length that fits a log."""
    line = text.strip().split("\n", 1)[0].strip()
    return line if len(line) <= MAX_REASON else line[: MAX_REASON - 1] + "…"


def _clock_wrong(refusal: Refusal, label: ContainerLabel) -> ProjectorError | None:
    """A signature or a token counts for a few minutes only, by the service's clock."""
    ahead = refusal.clock_ahead_seconds
    if ahead is None or abs(ahead) < CLOCK_SECONDS:
        return None
    side = "ahead of" if ahead > 0 else "behind"
    return ConfigurationError(
        f"{label.endpoint} refused the request ({refusal.status}) because this machine's clock is"
        f" {abs(ahead) / 60:.0f} minutes {side} the service's: set it right, by NTP"
    )


def _wrong_key(refusal: Refusal, label: ContainerLabel) -> ProjectorError:
    if wrong := _clock_wrong(refusal, label):
        return wrong
    if label.has_key:
        return KeyRefused(
            f"{label.endpoint} refused the account key (401): correct PROJECTOR_COSMOS_KEY"
        )
    return AccessRefused(
        f"{label.endpoint} refused the Entra credential (401): give the identity a data role,"
        " or set PROJECTOR_COSMOS_KEY"
    )


def _forbidden(refusal: Refusal, label: ContainerLabel) -> ProjectorError:
    if wrong := _clock_wrong(refusal, label):
        return wrong
    return AccessRefused(
        f"{label} refuses access ({refusal}): grant the right it names or open the firewall"
    )


def _region_moved(refusal: Refusal, label: ContainerLabel) -> ProjectorError:
    return RegionMoved(f"{label} answered {refusal}: the account is changing regions")


def _aged_token(refusal: Refusal, label: ContainerLabel) -> ProjectorError:
    return CredentialExpired(
        f"{label.endpoint} refused the Entra token ({refusal}): it is aged, or the identity has"
        " no data role"
    )


def _missing(_refusal: Refusal, label: ContainerLabel) -> ProjectorError:
    return SourceMissing(f"there is no {label}: create it, or correct {label.settings}")


def _proxy_refused(refusal: Refusal, label: ContainerLabel) -> ProjectorError:
    return proxy_refused(refusal.status, endpoint=label.endpoint, proxy=label.proxy)


def _malformed(refusal: Refusal, label: ContainerLabel) -> ProjectorError:
    return ConfigurationError(f"{label} refused the request as malformed: {refusal}")


def _gone(refusal: Refusal, label: ContainerLabel) -> ProjectorError:
    return FeedRangeGone(f"the physical range is gone from {label}: {refusal}")


def _session_ahead(refusal: Refusal, label: ContainerLabel) -> ProjectorError:
    return SessionAhead(f"{label} answered {refusal}")


def _too_large(refusal: Refusal, label: ContainerLabel) -> ProjectorError:
    return PageTooLarge(f"{label} cannot build a page of that size: {refusal}")


def without_role(label: ContainerLabel) -> ConfigurationError:
    """New tokens are refused as well, so it is not their age."""
    return ConfigurationError(
        f"{label} refuses the Entra identity, with new tokens too (403/5300): give it the role"
        " 'Cosmos DB Built-in Data Contributor'"
    )


def throttled(wait_seconds: float | None) -> Throttled:
    """A throttled answer that asks for this wait, None for one that asks for none."""
    return Throttled(
        retry_after_seconds=DEFAULT_RETRY_AFTER_SECONDS if wait_seconds is None else wait_seconds
    )


def _throttled(refusal: Refusal, _label: ContainerLabel) -> ProjectorError:
    return throttled(refusal.retry_after_seconds)


_Maker = Callable[[Refusal, ContainerLabel], ProjectorError]

_BY_SUBSTATUS: dict[tuple[int, int | None], _Maker] = {
    (403, WRITE_FORBIDDEN): _region_moved,
    (403, ACCOUNT_MOVED): _region_moved,
    (403, 5300): _aged_token,
    (404, None): _missing,
    (404, 0): _missing,
    (404, SESSION_NOT_AVAILABLE): _session_ahead,
    (404, OWNER_MISSING): _missing,
}
_BY_STATUS: dict[int, _Maker] = {
    400: _malformed,
    401: _wrong_key,
    403: _forbidden,
    407: _proxy_refused,
    410: _gone,
    413: _too_large,
    429: _throttled,
}
