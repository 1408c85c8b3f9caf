"""Requests and answers as values, free of any web framework, and the headers they carry.

Source: Cosmos DB REST API, common request and response headers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

from cosmos_emulator.charges import METADATA_RU
from cosmos_emulator.container import Container
from cosmos_emulator.documents import encode_json
from cosmos_emulator.epk import MAXIMUM, MINIMUM
from cosmos_emulator.errors import COLLECTION_RID_MISMATCH, EmulatorError, bad_request
from cosmos_emulator.feed import DEFAULT_PAGE_ITEMS
from cosmos_emulator.keys import PartitionKey, parse_key
from cosmos_emulator.texts import whole_number

RANGE_ID = "x-ms-documentdb-partitionkeyrangeid"
PARTITION_KEY = "x-ms-documentdb-partitionkey"
SESSION_TOKEN = "x-ms-session-token"  # noqa: S105 - a header's name
CONTINUATION = "x-ms-continuation"
MAX_ITEM_COUNT = "x-ms-max-item-count"
REQUEST_CHARGE = "x-ms-request-charge"
SUBSTATUS = "x-ms-substatus"
RETRY_AFTER = "x-ms-retry-after-ms"
ITEM_COUNT = "x-ms-item-count"
COLLECTION_RID = "x-ms-cosmos-intended-collection-rid"
CONSISTENCY = "x-ms-consistency-level"
WEAK_ENOUGH = frozenset({"session", "consistentprefix", "eventual"})
IF_MATCH = "If-Match"
IF_NONE_MATCH = "If-None-Match"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request; `base_url` is how the client reached the server, as scheme://host:port.

    `altered`: its path is not the one that the client sent and signed.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    base_url: str
    altered: bool = False

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """The decoded parts of the path; slashes at its ends do not count."""
        return tuple(unquote(part) for part in self.path.strip("/").split("/") if part)

    @property
    def names(self) -> tuple[str, str]:
        """The database and the container that the path names."""
        return self.segments[1], self.segments[3]

    def flag(self, name: str) -> bool:
        """True when a header says so."""
        return self.headers.get(name, "").lower() == "true"

    @property
    def range_id(self) -> str | None:
        """The partition key range asked for; .NET puts the container's rid before it."""
        value = self.headers.get(RANGE_ID)
        return value.rpartition(",")[2] if value else None

    @property
    def partition_key(self) -> PartitionKey | None:
        """The partition key asked for."""
        value = self.headers.get(PARTITION_KEY)
        return None if value is None else parse_key(value)

    @property
    def epk_bounds(self) -> tuple[str, str]:
        """The effective partition keys asked for, everything by default."""
        start = self.headers.get("x-ms-start-epk", MINIMUM)
        return start.upper(), self.headers.get("x-ms-end-epk", MAXIMUM).upper()

    @property
    def most_items(self) -> int | None:
        """The page size asked for; None means as many as fit."""
        text = self.headers.get(MAX_ITEM_COUNT, str(DEFAULT_PAGE_ITEMS))
        number = whole_number(text)
        if number is None or number < -1 or number == 0:
            raise bad_request(f"The page size {text!r} is not valid.")
        return None if number == -1 else number

    def check_consistency(self) -> None:
        """Refuses a read that wants more than the account's session consistency gives."""
        wanted = self.headers.get(CONSISTENCY)
        if wanted and wanted.lower() not in WEAK_ENOUGH:
            raise bad_request(
                f"The consistency level {wanted} is stronger than the account's, which is Session."
            )

    @property
    def session(self) -> str | None:
        """The session token that the client sent."""
        return self.headers.get(SESSION_TOKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response, its charge in request units."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    request_units: float = METADATA_RU


def json_answer(status: int, value: object, **headers: str) -> Answer:
    """An answer with a JSON body; an `etag` is added as a header of that name."""
    return Answer(status=status, body=encode_json(value), headers=headers)


def list_answer(rid: str, name: str, items: Sequence[object]) -> Answer:
    """A feed of resources in one page."""
    body = {"_rid": rid, name: items, "_count": len(items)}
    return Answer(status=200, body=encode_json(body), headers={ITEM_COUNT: str(len(items))})


def page_body(rid: str, bodies: Sequence[bytes]) -> bytes:
    """A page of documents that are JSON already."""
    head = b'{"_rid":"%b","Documents":[' % rid.encode("ascii")
    return b'%b%b],"_count":%d}' % (head, b",".join(bodies), len(bodies))


def container_headers(container: Container) -> dict[str, str]:
    """Says which container answered, by name and by resource id."""
    return {"x-ms-alt-content-path": container.path, "x-ms-content-path": container.rid}


def position_headers(token: str | None, lsn: int | None) -> dict[str, str]:
    """Says how far the partition that answered is."""
    if token is None or lsn is None:
        return {}
    return {
        SESSION_TOKEN: token,
        # Without it the SDK takes every answer for one of a new partition and reads the ranges again.
        RANGE_ID: token.partition(":")[0],
        "lsn": str(lsn),
        "x-ms-global-committed-lsn": str(lsn),
    }


def check_collection_rid(call: Call, container: Container) -> None:
    """Refuses a request that was meant for an earlier container of the same name."""
    intended = call.headers.get(COLLECTION_RID)
    if intended is not None and intended != container.rid:
        raise bad_request(
            "The collection resource id in the request does not match the resource found.",
            COLLECTION_RID_MISMATCH,
        )


def error_answer(error: EmulatorError, request_units: float = 1.0) -> Answer:
    """A refusal as the service words it."""
    headers = position_headers(error.session_token, error.lsn)
    if error.substatus:
        headers[SUBSTATUS] = str(error.substatus)
    body = encode_json({"code": error.code, "message": error.message})
    return Answer(
        status=error.status,
        body=b"" if error.status == 304 else body,  # noqa: PLR2004 - a 304 has no body
        headers=headers,
        request_units=request_units,
    )
