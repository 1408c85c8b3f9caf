"""Lease documents as JSON, in the shape of the .NET v3 change feed processor, both ways.

`lease_of` reads what .NET (v0, v1 and migrated v2 documents) and this program write, takes
Java's `feedRange` for `FeedRange`, and refuses a bookmark that holds the state of the Java or
Python SDK: sent to the service it would be a wrong position. `document_of` writes the fields of the
format in its order, then the fields of other writers. Whatever JSON it is given, `lease_of`
raises nothing but ConfigurationError: only a person can tell what a broken lease meant.
Source: docs/reference/lease-document.md.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from projector.core.errors import ConfigurationError
from projector.core.lease import Lease
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import MAX_EPK, FeedRange
from projector.cosmos.continuations import foreign_state

PARTITION_KEY = "partitionKey"
PARTITION_ID = "PartitionId"
NEVER_EXPIRES = -1
"""`ttl` of leases and marker: a default time to live, set by mistake, must not take them away."""

_SYSTEM_FIELDS = frozenset({"_rid", "_self", "_attachments", "_lsn"})
_OWN_FIELDS = frozenset(
    {
        "id",
        PARTITION_KEY,
        "version",
        "_etag",
        "LeaseToken",
        "FeedRange",
        "feedRange",
        "Owner",
        "ContinuationToken",
        "properties",
        "timestamp",
        "_ts",
        "Mode",
        "ttl",
    }
)
_ILLEGAL_IN_IDS = re.compile(r"[/\\?#]")
_DATABASE_RID_BYTES = 4
_CONTAINER_RID_BYTES = 8
_KEY = re.compile(r"[0-9A-F]*")
_ZONE_NAME = re.compile(r"\[[^\]]*\]$")
_FRACTION = re.compile(r"\.([0-9]+)")


def lease_prefix(*, processor_name: str, endpoint_host: str, container_rid: str) -> str:
    """What the ids of one processor's leases for one container begin with.

    Raises:
        ConfigurationError: The processor name has a character that no id may have.
    """
    if _ILLEGAL_IN_IDS.search(processor_name):
        raise ConfigurationError(
            "PROJECTOR_PROCESSOR_NAME must not contain / \\ ? or #: it is part of document ids"
        )
    rids = f"{database_rid(container_rid)}_{container_rid}"
    return f"{processor_name}{endpoint_host.lower()}_{rids}"


def lease_id(prefix: str, token: LeaseToken) -> str:
    """Id of the lease document of one token."""
    return f"{prefix}..{token}"


def database_rid(container_rid: str) -> str:
    """The `_rid` of the database, which that of its container begins with."""
    try:
        raw = base64.b64decode(container_rid.replace("-", "/"), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _CONTAINER_RID_BYTES:
        raise ConfigurationError(f"{container_rid!r} is no resource id of a container")
    return base64.b64encode(raw[:_DATABASE_RID_BYTES]).decode().replace("/", "-")


def document_of(lease: Lease) -> dict[str, Any]:
    """The lease as its document, fields in the order of the format."""
    unknown = {key: value for key, value in lease.unknown.items() if key not in _OWN_FIELDS}
    document: dict[str, Any] = {"id": lease.id}
    if lease.partition_key is not None:
        document[PARTITION_KEY] = lease.partition_key
    document |= {"version": lease.version, "_etag": lease.etag, "LeaseToken": lease.token}
    if PARTITION_ID in unknown:
        document[PARTITION_ID] = unknown.pop(PARTITION_ID)
    if lease.feed_range is not None:
        bounds = {"min": lease.feed_range.min, "max": lease.feed_range.max}
        document["FeedRange"] = {"Range": bounds}
    document |= {
        "Owner": lease.owner,
        "ContinuationToken": lease.continuation,
        "properties": dict(lease.properties),
        "timestamp": None if lease.timestamp is None else format_time(lease.timestamp),
        "_ts": 0,
    }
    if lease.mode is not None:
        document["Mode"] = lease.mode
    return document | {"ttl": NEVER_EXPIRES} | unknown


def lease_of(document: object) -> Lease:
    """The lease that a document is.

    Raises:
        ConfigurationError: It is no lease, or its bookmark is that of another SDK.
    """
    if not isinstance(document, dict):
        raise ConfigurationError("a lease document is not a JSON object: remove it")
    token = _text(document, "LeaseToken") or _text(document, PARTITION_ID)
    name = _text(document, "id")
    if not token or not name:
        raise _broken(document, "has no id or no LeaseToken")
    return Lease(
        id=name,
        token=LeaseToken(token),
        version=1 if document.get("version") == 1 else 0,
        feed_range=_feed_range(document, token),
        owner=InstanceName(_text(document, "Owner") or "") or None,
        continuation=_continuation(document),
        properties=_properties(document.get("properties")),
        timestamp=_timestamp(document),
        mode=_text(document, "Mode"),
        partition_key=_text(document, PARTITION_KEY),
        etag=_text(document, "_etag"),
        unknown={
            key: value
            for key, value in document.items()
            if key not in _OWN_FIELDS and key not in _SYSTEM_FIELDS
        },
    )


def idle_seconds(document: Mapping[str, Any], service_time: datetime | None) -> float | None:
    """How long ago the service stored the document, by its own clock; None when it cannot be told.

    No host can forge it, and no clock of a host counts. One that lies ahead, as after a failover, is
    of just now.
    """
    written = _stored_at(document)
    if written is None or service_time is None:
        return None
    return max(0.0, (service_time - written).total_seconds())


def unreadable_lease(document: Mapping[str, Any], prefix: str, why: str) -> Lease:
    """What is left of a document that is no lease to us: the token that its id ends with."""
    name, etag, key = document["id"], document.get("_etag"), document.get(PARTITION_KEY)
    token = LeaseToken(name.removeprefix(f"{prefix}.."))
    try:
        keys = _feed_range({"version": 1}, token)
    except ConfigurationError:
        keys = None
    return Lease(
        id=name,
        token=token,
        version=0 if keys is None else 1,
        feed_range=keys,
        etag=etag if isinstance(etag, str) else None,
        partition_key=key if isinstance(key, str) else None,
        unreadable=f"{why}; its keys are not read until it is removed, or mended by:"
        f" projector leases reset --range {token}",
    )


def format_time(time: datetime) -> str:
    """UTC with seven fractional digits and `Z`, as .NET writes it."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "0Z"


def parse_time(text: str) -> datetime | None:
    """A time as .NET or Java writes it: any zone, `[UTC]` behind it, 0 to 9 fractional digits.

    Without a zone it is UTC; None when it is no time.
    """
    plain = _ZONE_NAME.sub("", text.strip())
    plain = _FRACTION.sub(lambda match: "." + match[1][:6].ljust(6, "0"), plain, count=1)
    try:
        time = datetime.fromisoformat(plain)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise _broken(document, f"has a {name} that is no text")
    return value


def _continuation(document: Mapping[str, Any]) -> Continuation | None:
    text = _text(document, "ContinuationToken")
    if not text:
        return None
    if foreign_state(text):
        raise _broken(
            document,
            "holds the bookmark of another SDK (Base64 state): give this processor a name of its"
            " own with PROJECTOR_PROCESSOR_NAME, or remove the lease to start over",
        )
    return Continuation(text)


def _feed_range(document: Mapping[str, Any], token: str) -> FeedRange | None:
    value = document.get("FeedRange", document.get("feedRange"))
    bounds = value.get("Range") if isinstance(value, dict) else None
    if isinstance(bounds, dict):
        low, high = bounds.get("min"), bounds.get("max")
        if bounds.get("isMinInclusive") is False or bounds.get("isMaxInclusive") is True:
            raise _broken(document, "has a FeedRange with unusual bounds")
    elif document.get("version") == 1 and "-" in token:
        low, _, high = token.partition("-")
    else:
        return None
    if not (isinstance(low, str) and isinstance(high, str) and low < high):
        raise _broken(document, "has a FeedRange without min below max")
    if not (_KEY.fullmatch(low) and _KEY.fullmatch(high) and high <= MAX_EPK):
        raise _broken(document, "has a FeedRange whose bounds are no keys of a container")
    return FeedRange(min=low, max=high)


def _properties(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {
        str(key): one if isinstance(one, str) else json.dumps(one) for key, one in value.items()
    }


def _timestamp(document: Mapping[str, Any]) -> datetime | None:
    """`timestamp`; where it is null or no time, the service's own `_ts`."""
    text = document.get("timestamp")
    time = parse_time(text) if isinstance(text, str) else None
    return _stored_at(document) if time is None else time


def _stored_at(document: Mapping[str, Any]) -> datetime | None:
    written = document.get("_ts")
    if isinstance(written, bool) or not isinstance(written, int) or written <= 0:
        return None
    try:
        return datetime.fromtimestamp(written, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _broken(document: Mapping[str, Any], what: str) -> ConfigurationError:
    name = str(document.get("id", ""))[:200]
    return ConfigurationError(f"lease document {name!r} {what}")
