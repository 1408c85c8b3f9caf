"""Container definitions: what a client may ask for, and the resource that the service answers with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from projector.emulator.documents import checked_id
from projector.emulator.errors import bad_request
from projector.emulator.keys import parse_definition
from projector.emulator.ttl import default_ttl

_INDEXING_POLICY = {
    "indexingMode": "consistent",
    "automatic": True,
    "includedPaths": [{"path": "/*"}],
    "excludedPaths": [{"path": '/"_etag"/?'}],
}
_CONFLICT_POLICY = {
    "mode": "LastWriterWins",
    "conflictResolutionPath": "/_ts",
    "conflictResolutionProcedure": "",
}
_SYSTEM = ("_rid", "_ts", "_self", "_etag", "_docs", "_sprocs", "_triggers", "_udfs", "_conflicts")
SYSTEM_LINKS = {
    "_docs": "docs/",
    "_sprocs": "sprocs/",
    "_triggers": "triggers/",
    "_udfs": "udfs/",
    "_conflicts": "conflicts/",
}


def checked_definition(requested: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a full definition; refuses one that the service would not accept."""
    checked_id(requested)
    parse_definition(requested.get("partitionKey"))
    definition = {name: value for name, value in requested.items() if name not in _SYSTEM}
    partition_key = definition["partitionKey"]
    definition["partitionKey"] = {"kind": "Hash", "version": 2, **partition_key}
    definition.setdefault("indexingPolicy", _INDEXING_POLICY)
    definition.setdefault("conflictResolutionPolicy", _CONFLICT_POLICY)
    _check_ttl(definition)
    return definition


def checked_replacement(current: Mapping[str, Any], requested: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the changed definition; neither the id nor the partition key may change."""
    definition = checked_definition(requested)
    if definition["id"] != current["id"]:
        raise bad_request("The id of a container cannot be changed.")
    if definition["partitionKey"]["paths"] != current["partitionKey"]["paths"]:
        raise bad_request("The partition key of a container cannot be changed.")
    return definition


def _check_ttl(definition: dict[str, Any]) -> None:
    ttl = default_ttl(definition)
    if ttl is None:
        definition.pop("defaultTtl", None)
    elif definition["indexingPolicy"].get("indexingMode") == "none":
        raise bad_request("Time to live needs an indexing mode other than none.")
