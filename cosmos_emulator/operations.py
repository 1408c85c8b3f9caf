"""Names what a request wants: the operation, as stats and faults call it.

A pure function of method, path shape and headers; None for what the emulator does not offer.
Source: Cosmos DB REST API; the headers that azure-cosmos sends.
"""

from __future__ import annotations

from cosmos_emulator.wire import Call

_QUERY = "x-ms-documentdb-isquery"
_BATCH = "x-ms-cosmos-is-batch-request"
_ATOMIC = "x-ms-cosmos-batch-atomic"
_UPSERT = "x-ms-documentdb-is-upsert"
_QUERY_PLAN = "x-ms-cosmos-is-query-plan-request"

_ITEMS = "dbs/*/colls/*/docs"
_ITEM = "dbs/*/colls/*/docs/*"

_PLAIN = {
    ("GET", ""): "read_account",
    ("GET", "dbs"): "list_databases",
    ("GET", "dbs/*"): "read_database",
    ("DELETE", "dbs/*"): "delete_database",
    ("GET", "dbs/*/colls"): "list_containers",
    ("GET", "dbs/*/colls/*"): "read_container",
    ("PUT", "dbs/*/colls/*"): "replace_container",
    ("DELETE", "dbs/*/colls/*"): "delete_container",
    ("GET", "dbs/*/colls/*/pkranges"): "read_pkranges",
    ("POST", "dbs/*/colls/*/operations/*"): "delete_partition_key",
    ("POST", "offers"): "query_offers",
    ("GET", "offers"): "query_offers",
    ("GET", "offers/*"): "read_offer",
    ("PUT", "offers/*"): "replace_offer",
    ("GET", _ITEM): "read_item",
    ("PUT", _ITEM): "replace_item",
    ("PATCH", _ITEM): "patch_item",
    ("DELETE", _ITEM): "delete_item",
}


def operation_of(call: Call) -> str | None:
    """Returns the operation's name."""
    shape = "/".join("*" if index % 2 else part for index, part in enumerate(call.segments))
    if call.method == "POST" and shape in {"dbs", "dbs/*/colls"}:
        verb = "query" if _is_query(call) else "create"
        noun = {"dbs": "database", "dbs/*/colls": "container"}[shape]
        return f"{verb}_{noun}{'s' if verb == 'query' else ''}"
    if call.method == "POST" and shape == _ITEMS:
        return _posted_items(call)
    if call.method == "GET" and shape == _ITEMS:
        return "change_feed" if "A-IM" in call.headers else "read_feed"
    return _PLAIN.get((call.method, shape))


def _posted_items(call: Call) -> str:
    if call.flag(_QUERY_PLAN):
        return "query_plan"
    if _is_query(call):
        return "query_items"
    if call.flag(_BATCH):
        return "bulk" if call.headers.get(_ATOMIC, "").lower() == "false" else "batch"
    return "upsert_item" if call.flag(_UPSERT) else "create_item"


def _is_query(call: Call) -> bool:
    return call.flag(_QUERY) or "query+json" in call.headers.get("Content-Type", "")
