"""Runs queries over documents and other resources; the language itself is the query engine's.

A row that is a whole document is answered with its stored bytes, numbers as they were written. Documents are
decoded as the query asks for them and let go afterwards, unless it sorts them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from cosmos_emulator.cursors import Row
from cosmos_emulator.documents import Document, decode_leniently, decode_object, encode_json
from cosmos_emulator.errors import bad_request
from cosmos_emulator.keys import PartitionKeyDefinition
from cosmos_emulator.query import (
    CompiledQuery,
    DistributedQuery,
    QueryError,
    compile_query,
    distributed,
    scans_backwards,
    spend,
)
from cosmos_emulator.rids import item_number

_T = TypeVar("_T")
_EVERYTHING = re.compile(r"\s*select\s+\*\s+from\s+(\w+)(\s+(as\s+)?\w+)?\s*;?\s*", re.IGNORECASE)
_BYTES_A_STEP = 11  # a power of two: longer documents take longer to be decoded
_SORTS = re.compile(r"\border\s+by\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query's text and parameters as a request carries them."""

    text: str
    parameters: list[dict[str, Any]]

    @property
    def selects_everything(self) -> bool:
        """True for a query that returns every document as it is."""
        return _EVERYTHING.fullmatch(self.text) is not None

    @property
    def sorts(self) -> bool:
        """True for a query that may hand out a document long after it was given it."""
        return _SORTS.search(self.text) is not None

    @property
    def execution_info(self) -> str:
        """How equal rows are ordered, for clients that go on among them by their resource ids."""
        backwards = self.sorts and _scans_backwards(self.text)
        return encode_json({"reverseRidEnabled": False, "reverseIndexScan": backwards}).decode()


class _Origins:
    """Which stored document a decoded one came from; the latest only, unless told to keep all.

    A row comes from the latest, too, until there are no more: then they were sorted, and whoever goes on
    with sorted rows has them carry their `_rid`, or they are of no document, but of a group.
    """

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._known: dict[int, tuple[dict[str, Any], Document]] = {}
        self._latest: int | None = None

    def decoded(self, documents: Iterable[Document]) -> Iterator[dict[str, Any]]:
        for document in documents:
            spend(len(document.body) >> _BYTES_A_STEP)
            value = decode_leniently(document.point_body)
            if isinstance(value, dict):
                if not self._keep:
                    self._known.clear()
                self._known[id(value)] = (value, document)
                self._latest = document.number
                yield value
        self._latest = None

    def row(self, row: object) -> Row:
        value, document = self._known.get(id(row), (None, None))
        if document is not None and value is row:
            return Row(document.point_body, document.number)
        number = self._latest
        if number is None and isinstance(row, dict) and isinstance(row.get("_rid"), str):
            number = item_number(row["_rid"])
        return Row(encode_json(row), number)


def parse_query(body: bytes) -> Query:
    """Reads a query request."""
    spec = decode_object(body)
    text, parameters = spec.get("query"), spec.get("parameters", [])
    if not isinstance(text, str) or not isinstance(parameters, list):
        raise bad_request("A query needs a text and a list of parameters.")
    return Query(text=text, parameters=parameters)


def select_documents(
    query: Query, documents: Iterable[Document], now: Callable[[], float]
) -> Iterator[Row]:
    """Returns the rows that a query makes of documents, made as they are read."""
    plan = _compiled(query, now)
    origins = _Origins(keep=query.sorts)
    return _refusing(map(origins.row, plan.rows((origins.decoded(documents),))))


def select_resources(
    body: bytes, resources: Iterable[dict[str, Any]], now: Callable[[], float]
) -> list[Any]:
    """Returns what the query in a request selects of databases, containers or offers."""
    return list(_refusing(_compiled(parse_query(body), now).rows((resources,))))


def plan_query(
    query: Query, keys: PartitionKeyDefinition, now: Callable[[], float], *, one_key: bool
) -> DistributedQuery:
    """Returns how a client runs a query over many partitions."""
    try:
        return distributed(
            query.text, query.parameters, keys.paths, one_key=one_key, now_seconds=now
        )
    except QueryError as error:
        raise bad_request(str(error)) from error


def _compiled(query: Query, now: Callable[[], float]) -> CompiledQuery:
    try:
        return compile_query(query.text, query.parameters, now_seconds=now)
    except QueryError as error:
        raise bad_request(str(error)) from error


@lru_cache(maxsize=64)
def _scans_backwards(text: str) -> bool:
    return scans_backwards(text)


def _refusing(rows: Iterable[_T]) -> Iterator[_T]:
    try:
        yield from rows
    except QueryError as error:
        raise bad_request(str(error)) from error
