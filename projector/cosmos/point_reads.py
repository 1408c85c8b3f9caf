"""Point reads of single documents, as raw bytes, under the expected container only.

Absent is a 404 without sub-status, asked of and answered by the container with the pinned
`_rid`; a 404 that speaks of a session (1002) or of a missing container (1003) is an error. The
SDK would re-read a recreated container without a word, so every request shows its `_rid` before
it leaves. Partition keys that are falsy in Python are told apart from a missing one.
Source: Cosmos DB REST API, reading a document; docs/explanation/correctness.md for what a point
read decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from azure.core.exceptions import ResourceNotFoundError
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.partition_key import NonePartitionKeyValue, NullPartitionKeyValue

from projector.core.errors import SourceUnavailable
from projector.cosmos.client import ContainerPath, CosmosGateway
from projector.cosmos.monitored import MonitoredContainer, check_container
from projector.cosmos.wire import (
    DOCUMENT_STAND_IN,
    HTTP_NOT_FOUND,
    HTTP_OK,
    PAGE_STAND_IN,
    Answer,
    Exchange,
    session_lsn,
)
from projector.ports.points import UNDEFINED_PARTITION_KEY, PointRead

_LOST_IN_URLS = frozenset({".", ".."})
"""Ids that are steps in a path: a URL with them names something else, so they are queried."""


class _Identity(msgspec.Struct):
    id: str | None = None


class _QueryPage(msgspec.Struct):
    Documents: list[msgspec.Raw]


class CosmosPointReader:
    """`PointReader` over the SDK."""

    def __init__(
        self, gateway: CosmosGateway, path: ContainerPath, *, expected_rid: str | None = None
    ) -> None:
        """Take the container's names; `expected_rid` None pins the one found first."""
        self._container = MonitoredContainer(gateway, path, rid=expected_rid)

    async def read(
        self, partition_key_json: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        """Read one document; see `PointReader`."""
        key = partition_key_of(partition_key_json)
        ask = self._query if document_id in _LOST_IN_URLS else self._get

        async def asked(rid: str) -> PointRead:
            return await ask(rid, key, document_id, session_token)

        return await self._container.settled(asked)

    async def _get(
        self, rid: str, key: object, document_id: str, session_token: str | None
    ) -> PointRead:
        exchange = self._exchange(rid, DOCUMENT_STAND_IN)
        async with self._container.lent() as container:
            try:
                await _read_item(container, key, document_id, session_token, exchange.hooks)
            except ResourceNotFoundError:
                if exchange.answer is None or not _absent(exchange.answer):
                    raise
        answer = self._answered(exchange)
        if answer.status == HTTP_OK and not _is_document(answer.body, document_id):
            raise SourceUnavailable(f"{self._container.place} answered for another document")
        return _found(answer, answer.body if answer.status == HTTP_OK else None)

    async def _query(
        self, rid: str, key: object, document_id: str, session_token: str | None
    ) -> PointRead:
        exchange = self._exchange(rid, PAGE_STAND_IN)
        options: dict[str, Any] = {"session_token": session_token} if session_token else {}
        async with self._container.lent() as container:
            pages = container.query_items(
                query="SELECT * FROM c WHERE c.id = @id",
                parameters=[{"name": "@id", "value": document_id}],
                feed_range=await container.feed_range_from_partition_key(key),  # type: ignore[arg-type]  # checked by the service
                **options,
                **exchange.hooks,
            ).by_page()
            await anext(pages, None)
        answer = self._answered(exchange)
        documents = msgspec.json.decode(answer.body, type=_QueryPage).Documents
        return _found(answer, bytes(documents[0]) if documents else None)

    def _exchange(self, rid: str, stand_in: bytes) -> Exchange:
        def check(headers: Mapping[str, str]) -> None:
            check_container(headers, rid)

        def judge(answer: Answer) -> None:
            if not _absent(answer):
                self._container.judge(answer)

        return Exchange(check=check, judge=judge, stand_in=stand_in)

    def _answered(self, exchange: Exchange) -> Answer:
        if exchange.answer is None:
            raise SourceUnavailable(f"{self._container.place} gave no answer for a document")
        return exchange.answer


async def _read_item(
    container: ContainerProxy,
    key: object,
    document_id: str,
    session_token: str | None,
    hooks: dict[str, Any],
) -> None:
    options: dict[str, Any] = {"session_token": session_token} if session_token else {}
    await container.read_item(
        document_id,
        key,  # type: ignore[arg-type]  # checked by the service
        **options,
        **hooks,
    )


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


def _is_document(body: bytes, document_id: str) -> bool:
    """Whether the answer is that document; bytes that do not decode cannot tell otherwise."""
    try:
        return msgspec.json.decode(body, type=_Identity).id in {document_id, None}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True


def _found(answer: Answer, raw: bytes | None) -> PointRead:
    return PointRead(
        raw=raw,
        session_lsn=session_lsn(answer.session_token),
        session_token=answer.session_token,
        etag=answer.etag if raw is not None else None,
        request_units=answer.request_units,
    )
