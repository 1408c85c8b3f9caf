"""Documents that no client library could write: bytes taken as they are.

The id and the partition key are read from the bytes as far as they can be, or said beside them.
"""

from __future__ import annotations

import re

from cosmos_emulator.documents import Incoming, decode_leniently
from cosmos_emulator.errors import EmulatorError, bad_request
from cosmos_emulator.keys import PartitionKey, PartitionKeyDefinition, key_from
from cosmos_emulator.ttl import is_valid


def accept_raw(
    body: bytes,
    definition: PartitionKeyDefinition,
    *,
    item_id: str | None = None,
    partition_key: object = None,
) -> Incoming:
    """Returns the bytes ready to be stored; only a closing brace and an identity are required."""
    end = body.rfind(b"}")
    if end < 0:
        raise bad_request("The document has no closing brace.")
    head = body[:end]
    decoded = decode_leniently(body[: end + 1])
    document = decoded if isinstance(decoded, dict) else {}
    identity = item_id or document.get("id") or _member(head, "id")
    if not isinstance(identity, str):
        raise bad_request("The document's id cannot be read from its bytes; say it as ?id=")
    given = partition_key is not None
    key = key_from(partition_key) if given else _key_of(head, document, definition)
    ttl = document.get("ttl")
    own_ttl = ttl if isinstance(ttl, int) and is_valid(ttl) else None
    return Incoming(id=identity, epk=definition.epk_of(key), ttl=own_ttl, head=head)


def _key_of(
    head: bytes, document: dict[str, object], definition: PartitionKeyDefinition
) -> PartitionKey:
    try:
        if document:
            return definition.key_of(document)
        return key_from([_member(head, path[-1]) for path in definition.paths])
    except EmulatorError as error:
        message = "The partition key cannot be read from the bytes; say it as ?partitionKey="
        raise bad_request(message) from error


def _member(head: bytes, name: str) -> object:
    pattern = rb'"' + re.escape(name.encode()) + rb'"\s*:\s*"([^"\\]*)"'
    found = re.search(pattern, head)
    return found[1].decode("utf-8", "replace") if found else {}
