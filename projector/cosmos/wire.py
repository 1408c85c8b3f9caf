"""What the service says in an answer, taken from that very response.

Knows headers, statuses and tokens; who may see an answer is decided elsewhere (see `monitored`).
Source: the request and response hooks of azure-cosmos 4.17.1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

RESOURCE_TYPE = "x-ms-thinclient-proxy-resource-type"
CONTAINER_RID = "x-ms-cosmos-intended-collection-rid"
RANGE_ID = "x-ms-documentdb-partitionkeyrangeid"
START_EPK = "x-ms-start-epk"
END_EPK = "x-ms-end-epk"
RETRY_AFTER = "x-ms-retry-after-ms"

DATABASE_ACCOUNT = "databaseaccount"
DOCUMENTS = "docs"
PARTITION_KEY_RANGES = "pkranges"

HTTP_OK = 200
HTTP_NOT_MODIFIED = 304
HTTP_BAD_REQUEST = 400
HTTP_UNAUTHORIZED = 401
HTTP_FORBIDDEN = 403
HTTP_NOT_FOUND = 404
HTTP_TOO_MANY_REQUESTS = 429
FIRST_ERROR = 400
FIRST_OUTAGE = 500
UNAUTHORIZED = frozenset({HTTP_UNAUTHORIZED, HTTP_FORBIDDEN})

PAGE_STAND_IN = b'{"_rid":"","Documents":[{}],"_count":1}'
DOCUMENT_STAND_IN = b"{}"

_INTEGER = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response.

    `retry_after_seconds` None: the service named no wait. `clock_ahead_seconds`, of a refused
    authorization: how far this machine's clock was ahead of the service's.
    """

    status: int
    body: bytes
    substatus: int | None = None
    etag: str | None = None
    session_token: str | None = None
    next_page: str | None = None
    document_count: int | None = None
    request_units: float = 0.0
    retry_after_seconds: float | None = None
    clock_ahead_seconds: float | None = None


def answer_of(http_response: Any) -> Answer:
    """The parts of a response that this package uses."""
    refused = http_response.status_code in UNAUTHORIZED
    headers: Mapping[str, str] = http_response.headers
    return Answer(
        status=http_response.status_code,
        body=http_response.body() or b"",
        substatus=_integer(headers.get("x-ms-substatus")),
        etag=headers.get("etag"),
        session_token=headers.get("x-ms-session-token"),
        next_page=headers.get("x-ms-continuation") or None,
        document_count=_integer(headers.get("x-ms-item-count")),
        request_units=charge(headers),
        retry_after_seconds=wait_seconds(headers.get(RETRY_AFTER)),
        clock_ahead_seconds=clock_ahead_seconds(http_response) if refused else None,
    )


def session_lsn(token: str | None, range_id: str | None = None) -> int | None:
    """The partition LSN in a session token such as `0:-1#42` or `3:1#42#5=40`.

    A list of tokens is searched for `range_id`; None when nothing fits.
    """
    entries = [part.rpartition(":") for part in (token or "").split(",") if part]
    if len(entries) != 1:
        entries = [entry for entry in entries if entry[0].strip() == range_id]
    if len(entries) != 1:
        return None
    vector = entries[0][2].split("#")
    text = vector[0] if len(vector) == 1 else vector[1]
    return _integer(text)


def wait_seconds(milliseconds: str | None) -> float | None:
    """The wait that an answer asks for; None when it asks for none that one can wait."""
    number = _number(milliseconds)
    return number / 1000 if number is not None and 0 <= number < math.inf else None


def charge(headers: Mapping[str, str]) -> float:
    """What an answer says that it cost, in request units; 0 where it says nothing."""
    return _number(headers.get("x-ms-request-charge")) or 0.0


def clock_ahead_seconds(http_response: Any) -> float | None:
    """How far the clock that dated the request is ahead of the one that dated the answer."""
    ours = http_response.request.headers.get("x-ms-date")
    theirs = http_response.headers.get("date")
    try:
        return (parsedate_to_datetime(ours) - parsedate_to_datetime(theirs)).total_seconds()
    except (TypeError, ValueError):  # one of them is missing, or no date
        return None


def answered_at(http_response: Any) -> datetime | None:
    """The service's clock when it answered; None when it did not say."""
    try:
        return parsedate_to_datetime(http_response.headers.get("date"))
    except (TypeError, ValueError):
        return None


def _integer(text: str | None) -> int | None:
    return int(text) if text and _INTEGER.fullmatch(text) else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
