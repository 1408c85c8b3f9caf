"""Runs a query's text over values; the language itself is the query engine's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from projector.emulator.documents import decode_object
from projector.emulator.errors import bad_request
from projector.emulator.query import CompiledQuery, QueryError, compile_query

_EVERYTHING = re.compile(r"\s*select\s+\*\s+from\s+(\w+)(\s+(as\s+)?\w+)?\s*;?\s*", re.IGNORECASE)


def parse_query(body: bytes) -> tuple[str, list[dict[str, Any]]]:
    """Returns the text and the parameters of a query request."""
    spec = decode_object(body)
    text, parameters = spec.get("query"), spec.get("parameters") or []
    if not isinstance(text, str) or not isinstance(parameters, list):
        raise bad_request("A query needs a text and a list of parameters.")
    return text, parameters


def selects_everything(text: str) -> bool:
    """True for a query that returns every document as it is."""
    return _EVERYTHING.fullmatch(text) is not None


def compiled(text: str, parameters: list[dict[str, Any]]) -> CompiledQuery:
    """Compiles a query; what the engine does not support is a bad request."""
    try:
        return compile_query(text, parameters)
    except QueryError as error:
        raise bad_request(str(error)) from error


def run_query(body: bytes, values: Iterable[dict[str, Any]]) -> list[Any]:
    """Returns what the query in a request selects from the values."""
    query = compiled(*parse_query(body))
    try:
        return query.run(values)
    except QueryError as error:
        raise bad_request(str(error)) from error
