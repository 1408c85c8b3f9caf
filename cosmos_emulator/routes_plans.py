"""Answers that say how a client runs a query over the partitions of a container.

Clients ask for them before they send a query that one partition cannot answer alone; those of Java and
.NET before nearly every query.
Source: the query plans that the SDKs read, and the baselines of the .NET SDK's own tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cosmos_emulator.account import Account
from cosmos_emulator.epk import MAXIMUM, MINIMUM
from cosmos_emulator.errors import bad_request
from cosmos_emulator.keys import PartitionKeyDefinition, key_from
from cosmos_emulator.querying import parse_query, plan_query
from cosmos_emulator.routes_items import addressed
from cosmos_emulator.wire import Answer, Call, container_headers, json_answer

_SUPPORTED = "x-ms-cosmos-supported-query-features"
_VERSION = 2


def query_plan(account: Account, call: Call) -> Answer:
    """Returns what a client must ask of each partition, and which keys the query is about."""
    container = addressed(account, call)
    key = call.partition_key
    one_key = key is not None and len(key) == len(container.keys.paths)
    plan = plan_query(parse_query(call.body), container.keys, account.engine.now, one_key=one_key)
    _check_client(call, plan.info)
    body = {
        "partitionedQueryExecutionInfoVersion": _VERSION,
        "queryInfo": plan.info,
        "queryRanges": _ranges(container.keys, plan.keys if key is None else [key]),
    }
    return json_answer(200, body, **container_headers(container))


def _ranges(
    definition: PartitionKeyDefinition, keys: list[tuple[Any, ...]] | None
) -> list[dict[str, Any]]:
    """The ranges of effective partition keys, lowest first, none twice; a whole key is a point."""
    if keys is None:
        return [_range(MINIMUM, MAXIMUM, whole=False)]
    bounds = {
        (*definition.epk_range(key_from(key)), len(key) == len(definition.paths)) for key in keys
    }
    if not bounds:  # no key can meet the filter: one partition will say so
        return [_range(MINIMUM, MINIMUM, whole=True)]
    return [_range(low, low if whole else high, whole=whole) for low, high, whole in sorted(bounds)]


def _range(minimum: str, maximum: str, *, whole: bool) -> dict[str, Any]:
    return {"min": minimum, "max": maximum, "isMinInclusive": True, "isMaxInclusive": whole}


def _check_client(call: Call, info: Mapping[str, Any]) -> None:
    """Refuses a plan that the client says it cannot carry out."""
    listed = call.headers.get(_SUPPORTED)
    if listed is None:
        return
    supported = {name.strip() for name in listed.split(",")}
    missing = [name for name in _features(info) if name not in supported]
    if missing:
        raise bad_request(
            f"The query needs {', '.join(missing)}, which the client does not support."
        )


def _features(info: Mapping[str, Any]) -> Iterator[str]:
    aliases = info["groupByAliasToAggregateType"]
    aggregated = [kind for kind in aliases.values() if kind]
    needed = {
        "Aggregate": info["aggregates"] or aggregated,
        "CountIf": "CountIf" in {*info["aggregates"], *aggregated},
        "Distinct": info["distinctType"] != "None",
        "GroupBy": info["groupByExpressions"],
        "MultipleOrderBy": len(info["orderBy"]) > 1,
        "NonValueAggregate": aggregated and not info["groupByExpressions"],
        "OffsetAndLimit": info["offset"] is not None,
        "OrderBy": info["orderBy"],
        "Top": info["top"] is not None,
    }
    yield from [name for name, needs in needed.items() if needs]
