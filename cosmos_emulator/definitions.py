"""Container definitions: what a client may ask for, and the resource that the service answers with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cosmos_emulator.documents import checked_id
from cosmos_emulator.errors import EmulatorError, bad_request
from cosmos_emulator.keys import parse_definition
from cosmos_emulator.ttl import default_ttl

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
_ETAG_PATH = {"path": '/"_etag"/?'}
_NOT_DONE: Mapping[str, str | None] = {
    "analyticalStorageTtl": None,
    "changeFeedPolicy": "retentionDuration",
    "computedProperties": None,
    "materializedViewDefinition": None,
    "uniqueKeyPolicy": "uniqueKeys",
}
"""Property of a container -> the part of it that asks for something, None for the whole."""
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
    keys = parse_definition(requested.get("partitionKey"))
    definition = {name: value for name, value in requested.items() if name not in _SYSTEM}
    partition_key = definition["partitionKey"]
    definition["partitionKey"] = {"kind": "Hash", **partition_key, "version": keys.version}
    definition["indexingPolicy"] = _indexing_policy(definition.get("indexingPolicy"))
    definition.setdefault("conflictResolutionPolicy", _CONFLICT_POLICY)
    definition["geospatialConfig"] = _geospatial(definition.get("geospatialConfig"))
    _check_ttl(definition)
    _refuse_what_is_not_done(definition)
    return definition


def _indexing_policy(asked: object) -> dict[str, Any]:
    """The policy in force: entity tags are never indexed, whatever else is asked for."""
    if asked is None:
        return dict(_INDEXING_POLICY)
    if not isinstance(asked, Mapping):
        raise bad_request("The indexing policy must be an object.")
    policy = dict(asked)
    excluded = list(policy.get("excludedPaths") or [])
    if policy.get("indexingMode") != "none" and _ETAG_PATH not in excluded:
        policy["excludedPaths"] = [*excluded, _ETAG_PATH]
    return policy


def _geospatial(asked: object) -> dict[str, Any]:
    """How points are read; kept and shown, since there are no spatial functions here."""
    match asked:
        case None:
            return {"type": "Geography"}
        case {"type": "Geography" | "Geometry" as kind}:
            return {"type": kind}
        case _:
            raise bad_request("The type in geospatialConfig must be Geography or Geometry.")


def _refuse_what_is_not_done(definition: Mapping[str, Any]) -> None:
    """A container that behaves otherwise than it says would be worse than none."""
    for name, part in _NOT_DONE.items():
        asked = definition.get(name)
        if part is not None and isinstance(asked, Mapping):
            asked = asked.get(part)
        if asked:
            raise EmulatorError(501, 0, f"The emulator does not do {name}; leave it out.")


def checked_replacement(current: Mapping[str, Any], requested: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the changed definition; neither the id nor the partition key may change."""
    definition = checked_definition(requested)
    if definition["id"] != current["id"]:
        raise bad_request("The id of a container cannot be changed.")
    if definition["partitionKey"]["paths"] != current["partitionKey"]["paths"]:
        raise bad_request("The partition key of a container cannot be changed.")
    definition["partitionKey"] = current["partitionKey"]
    return definition


def _check_ttl(definition: dict[str, Any]) -> None:
    ttl = default_ttl(definition)
    if ttl is None:
        definition.pop("defaultTtl", None)
    elif definition["indexingPolicy"].get("indexingMode") == "none":
        raise bad_request("Time to live needs an indexing mode other than none.")
