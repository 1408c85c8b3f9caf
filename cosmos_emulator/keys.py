"""Partition keys: read from a document, from a header, or given as a value.

A key is a tuple of components; a property that is absent is `UNDEFINED`, which is not the same as
null. The definition says which paths of a document make the key.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_emulator.epk import UNDEFINED, Component, Undefined
from cosmos_emulator.errors import bad_request
from cosmos_emulator.hashing import HASHINGS, Hashing

PartitionKey = tuple[Component, ...]
_MOST_PATHS = 3
_VERSIONS = {
    "1": 1,
    "2": 2,
    "'V1'": 1,
    "'V2'": 2,
}  # the texts are how Java's enumeration writes them
_PATH_PART = re.compile(r'/(?:"(?P<quoted>[^"]+)"|(?P<plain>[^/"\s?*]+))')


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionKeyDefinition:
    """The paths whose values make a document's partition key, outermost first."""

    paths: tuple[tuple[str, ...], ...]
    version: int = 2

    @property
    def hashing(self) -> Hashing:
        """How the keys are hashed."""
        return HASHINGS[self.version]

    @property
    def pointers(self) -> list[str]:
        """The paths as JSON pointers."""
        return ["".join("/" + _escaped(name) for name in path) for path in self.paths]

    def key_of(self, document: Mapping[str, Any]) -> PartitionKey:
        """Returns the document's key, one component per path."""
        return tuple([_value_at(document, path) for path in self.paths])

    def epk_of(self, key: PartitionKey) -> str:
        """Returns where a complete key lies; refuses one with too few components."""
        if len(key) != len(self.paths):
            raise bad_request("PartitionKey value must be supplied for this operation.", 1001)
        return self.hashing.effective_partition_key(key)

    def epk_range(self, key: PartitionKey) -> tuple[str, str]:
        """Returns the range of keys that begin with the components given."""
        if not 0 < len(key) <= len(self.paths):
            raise bad_request("The partition key has the wrong number of components.", 1001)
        prefix = self.hashing.effective_partition_key(key)
        if len(key) == len(self.paths):
            return prefix, prefix + "0"
        return prefix, prefix + "FF"


def parse_definition(value: object) -> PartitionKeyDefinition:
    """Reads a container's `partitionKey`; refuses what the emulator cannot hash."""
    if not isinstance(value, Mapping) or not isinstance(value.get("paths"), list):
        raise bad_request("The partition key definition must have a list of paths.")
    paths, kind = value["paths"], value.get("kind", "Hash")
    if kind not in ("Hash", "MultiHash"):
        raise bad_request(f"The partition key kind {kind!r} is not supported.")
    version = _VERSIONS.get(repr(value.get("version", 2)))
    if version is None or (version == 1 and kind == "MultiHash"):
        raise bad_request(f"A {kind} partition key cannot have version {value['version']!r}.")
    if not paths:
        raise bad_request("The partition key definition must have a path.")
    if len(paths) > (most := 1 if kind == "Hash" else _MOST_PATHS):
        raise bad_request(f"Too many partition key paths: {len(paths)}, {kind} takes {most}.")
    return PartitionKeyDefinition(paths=tuple(_parse_path(path) for path in paths), version=version)


def parse_key(text: str) -> PartitionKey:
    """Reads a partition key header, a JSON list of components."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad_request("The partition key header is not valid JSON.") from error
    if not isinstance(value, list):
        raise bad_request("The partition key header must be a JSON list.")
    return key_from(value)


def key_from(value: object) -> PartitionKey:
    """Makes a key of one component or of a list of them; `{}` stands for undefined."""
    if isinstance(value, list | tuple):
        return tuple(_component(item) for item in value)
    return (_component(value),)


def _component(value: object) -> Component:
    if value is None or isinstance(value, str | bool | Undefined):
        return value
    if value == {}:
        return UNDEFINED
    if isinstance(value, int | float) and _is_finite(value):
        return value
    raise bad_request("Partition key component must be a string, a number, a boolean or null.")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _value_at(document: Mapping[str, Any], path: Sequence[str]) -> Component:
    value: object = document
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return UNDEFINED
        value = value[name]
    if isinstance(value, Mapping):
        return UNDEFINED  # such a value makes no key, and is stored all the same
    return value if isinstance(value, str) else _component(value)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _parse_path(path: object) -> tuple[str, ...]:
    if not isinstance(path, str) or not path.startswith("/") or len(path) < 2:  # noqa: PLR2004
        raise bad_request(f"The partition key path {path!r} is not valid.")
    names: list[str] = []
    rest = path
    while rest:
        found = _PATH_PART.match(rest)
        if found is None:
            raise bad_request(f"The partition key path {path!r} is not valid.")
        names.append(found["plain"] or found["quoted"])
        rest = rest[found.end() :]
    return tuple(names)
