"""Checks the `authorization` header: the key's signature, or a token of the account's own dummy Entra.

Source: Cosmos DB REST API, access control.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from cosmos_emulator.entra import Entra
from cosmos_emulator.errors import EmulatorError, bad_request
from cosmos_emulator.texts import moment
from cosmos_emulator.wire import Call

WELL_KNOWN_KEY = (
    "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="
)
_LARGEST_SKEW_SECONDS = 15 * 60


def decoded_key(key: str) -> bytes:
    """Decodes an account key; refuses text that is not base64."""
    try:
        return base64.b64decode(key, validate=True)
    except binascii.Error as error:
        raise ValueError("the account key is not valid base64") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Locks:
    """What opens the account; `now` is the clock by which signatures are dated."""

    key: bytes
    entra: Entra
    now: Callable[[], float]


def check_authorization(
    call: Call, locks: Locks, *, operation: str | None, by_rid: bool = False
) -> None:
    """Refuses with 401 a request that is not signed, and with 403 what its signer may not do.

    `by_rid`: see `Account`.
    """
    header = unquote(call.headers.get("authorization", ""))
    kind, signature = _token_parts(header)
    if kind == "aad":
        locks.entra.admit(signature, operation, call)
        return
    if kind != "master" or not _is_signed(call, signature, locks.key, by_rid=by_rid):
        raise EmulatorError(
            401,
            0,
            "The input authorization token can't serve the request. The wrong key is being used or "
            "the expected payload is not built as per the protocol.",
        )
    _check_date(call, locks.now())


def _token_parts(header: str) -> tuple[str, str]:
    # A signature is base64 and holds "=" and "+", so it is cut out rather than parsed as a query.
    fields, _, signature = header.partition("&sig=")
    return dict(parse_qsl(fields)).get("type", ""), signature


def _is_signed(call: Call, signature: str, key: bytes, *, by_rid: bool) -> bool:
    kind, link = _resource(call.segments)
    given = signature.encode("utf-8", "replace")
    # A link of names is signed as it is; of a link of resource ids the last one, in lower case.
    links = [link, link.rpartition("/")[2].lower()] if by_rid else [link]
    return any(hmac.compare_digest(_sign(call, kind, each, key), given) for each in links)


def _sign(call: Call, kind: str, link: str, key: bytes) -> bytes:
    dates = [call.headers.get("x-ms-date", "").lower(), call.headers.get("date", "").lower()]
    text = "\n".join([call.method.lower(), kind, link, *dates, ""])
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest())


def _resource(segments: tuple[str, ...]) -> tuple[str, str]:
    if not segments:
        return "", ""
    if segments[-1] == "partitionkeydelete":
        return "colls", "/".join(segments[:-2])  # signed as an operation on its container
    if len(segments) % 2:
        return segments[-1].lower(), "/".join(segments[:-1])
    return segments[-2].lower(), "/".join(segments)


def _check_date(call: Call, now: float) -> None:
    text = call.headers.get("x-ms-date") or call.headers.get("date", "")
    signed_at = moment(text)
    if signed_at is None:
        raise bad_request(f"The date {text!r} is not valid.")
    if abs(now - signed_at) > _LARGEST_SKEW_SECONDS:
        raise EmulatorError(403, 0, "The authorization token is not valid at the current time.")
