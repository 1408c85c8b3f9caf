"""Point reads of single documents, as raw bytes, under the expected container only.

Absent is a 404 without sub-status, asked of and answered by the container with the pinned
`_rid`; a 404 that speaks of a session (1002) or of a missing container (1003) is an error. The
SDK would re-read a recreated container without a word, so every request shows its `_rid` before
it leaves. Partition keys that are falsy in Python are told apart from a missing one.

An answer counts only when it is about that very id. The id of a point read stands in a URL, which
the SDK, a proxy or the gateway may write in another way: cut at `/`, `?` or `#`, without white
space at its end. Only an id that no rule for URLs may touch is read so; any other is asked for by
query within its partition key, which tells presence, absence and a version bound as well.
Source: Cosmos DB REST API, reading a document; docs/explanation/correctness.md for what a point
read decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from azure.core.exceptions import ResourceNotFoundError
from azure.cosmos.partition_key import NonePartitionKeyValue, NullPartitionKeyValue

from projector.core.errors import SourceUnavailable
from projector.cosmos.monitored import MonitoredContainer, Request
from projector.cosmos.wire import (
    DOCUMENT_STAND_IN,
    HTTP_NOT_FOUND,
    HTTP_OK,
    PAGE_STAND_IN,
    Answer,
    session_lsn,
)
from projector.ports.points import UNDEFINED_PARTITION_KEY, PointRead

_SAFE_IN_URLS = re.compile(r"[A-Za-z0-9_~-]++(?:[.]++[A-Za-z0-9_~-]++)*+")
"""Ids of characters that URLs have unreserved, so that no two spellings exist (RFC 3986, 2.3), and
without dots at an end, which make steps in a path."""

_FRAME = re.compile(
    rb'\s*\{(?:"_rid":"[^"]*",)?"Documents":\[(.*)\](?:,"_count":[0-9]+)?\}\s*', re.DOTALL
)
"""A page around its only document, for when that is no JSON."""


class _Identity(msgspec.Struct):
    id: str


class _QueryPage(msgspec.Struct):
    Documents: list[msgspec.Raw]


class CosmosPointReader(MonitoredContainer):
    """`PointReader` over the SDK."""

    async def read(
        self, partition_key_json: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        """Read one document; see `PointReader`."""
        options = {"session_token": session_token} if session_token else {}
        asked = _Asked(document_id, partition_key_of(partition_key_json), options)
        if _SAFE_IN_URLS.fullmatch(document_id):
            answer = await self.ask(asked.by_id, judge=self._judge_read, stand_in=DOCUMENT_STAND_IN)
            if answer.status != HTTP_OK:
                return _found(answer, None)
            if _may_be(answer.body, document_id):
                return _found(answer, answer.body)
        return await self.ask(asked.by_query, judge=self._judge_read, stand_in=PAGE_STAND_IN)

    def _judge_read(self, answer: Answer) -> None:
        if not _absent(answer):
            self.judge(answer)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for, and the two ways of asking."""

    document_id: str
    key: object
    options: Mapping[str, Any]

    async def by_id(self, request: Request) -> Answer:
        try:
            await request.container.read_item(
                self.document_id,
                self.key,  # type: ignore[arg-type]  # checked by the service
                **self.options,
                **request.hooks,
            )
        except ResourceNotFoundError:
            answer = request.answer
            if answer is None or not _absent(answer):
                raise
        return request.taken()

    async def by_query(self, request: Request) -> PointRead:
        """All pages, for one without documents is no absence; that holds as of the first."""
        absence: PointRead | None = None
        pages = request.container.query_items(
            query="SELECT * FROM c WHERE c.id = @id",
            parameters=[{"name": "@id", "value": self.document_id}],
            partition_key=self.key,
            **self.options,
            **request.hooks,
        ).by_page()
        async for _ in pages:
            answer = request.taken()
            for document in _documents(answer.body):
                if not _may_be(document, self.document_id):
                    raise SourceUnavailable(f"{request.label} answered for another id")
                return _found(answer, document)
            absence = absence or _found(answer, None)
        return absence or _found(request.taken(), None)


def partition_key_of(text: str) -> object:
    """The SDK's form of a partition key given as JSON text.

    Raises:
        ValueError: It is no JSON text, or an object with fields.
    """
    if text == UNDEFINED_PARTITION_KEY:
        return NonePartitionKeyValue
    value = json.loads(text)
    if isinstance(value, dict):
        raise ValueError("an object is no partition key")  # noqa: TRY004  # its text is wrong
    return NullPartitionKeyValue if value is None else value


def _absent(answer: Answer) -> bool:
    return answer.status == HTTP_NOT_FOUND and not answer.substatus


def _documents(page: bytes) -> Sequence[bytes]:
    """The documents of a page; one that is no JSON stands alone, as ids within a key do."""
    try:
        return [bytes(raw) for raw in msgspec.json.decode(page, type=_QueryPage).Documents]
    except (msgspec.DecodeError, UnicodeDecodeError):
        framed = _FRAME.fullmatch(page)
        if framed is None:
            raise SourceUnavailable("the service answered a query with what is no page") from None
        return [framed[1]]


def _may_be(body: bytes, document_id: str) -> bool:
    """Whether this is that document; bytes that do not decode cannot tell otherwise."""
    try:
        return msgspec.json.decode(body, type=_Identity).id == document_id
    except msgspec.ValidationError:
        return False
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True


def _found(answer: Answer, raw: bytes | None) -> PointRead:
    return PointRead(
        raw=raw,
        session_lsn=session_lsn(answer.session_token),
    )
