"""Fuzzes lease documents: `python -m tests.fuzz.leases --inputs 100000 --seed 1`.

Whatever JSON stands in the lease container, it is read as a lease or refused with a
ConfigurationError; a lease that was read is written back as a document that is read as the same.
"""

from __future__ import annotations

import base64
import json
import random
from datetime import UTC, datetime

from projector.core.errors import ConfigurationError
from projector.cosmos.lease_documents import document_of, lease_of
from tests.fuzz.inputs import json_text, main, quoted

NAMES = ["id", "LeaseToken", "PartitionId", "FeedRange", "feedRange", "Range", "min", "max"]
NAMES += [
    "Owner",
    "ContinuationToken",
    "properties",
    "timestamp",
    "_ts",
    "Mode",
    "version",
    "_etag",
]
NAMES += ["partitionKey", "isMinInclusive", "isMaxInclusive", "_rid", "hint"]
TIMES = [
    "2026-01-31T12:00:00.1234567Z",
    "2026-01-31T12:00:00Z[UTC]",
    "0001-01-01T00:00:00",
    "",
    "x",
]
TIMES += ["9999-12-31T23:59:59.9999999-12:00", "0001-01-01T00:00:00+14:00", "2026-02-30T00:00:00Z"]
USUAL = {
    "id": '"p.example.com_jFcSAA==_jFcSAI55Ns0=..0"',
    "LeaseToken": '"0"',
    "FeedRange": '{"Range":{"min":"","max":"FF"}}',
    "Owner": '"host"',
    "ContinuationToken": '"\\"55\\""',
    "properties": '{"startFrom":"beginning"}',
    "timestamp": '"2026-01-31T12:00:00.0000000Z"',
    "version": "0",
}


def check(rng: random.Random) -> None:
    """Check one input."""
    names = [*USUAL, *rng.choices(NAMES, k=rng.randrange(6))]
    text = f"{{{','.join(f'{quoted(name)}:{value_of(rng, name)}' for name in names)}}}"
    if rng.random() < 0.05:
        text = json_text(rng, NAMES)
    document = json.loads(text)
    try:
        lease = lease_of(document)
    except ConfigurationError:
        return
    lease.expired(now=datetime(2026, 1, 31, tzinfo=UTC), expiration_seconds=60.0)
    lease.owned_by(lease.owner or lease_of(document).token)  # type: ignore[arg-type]  # any text
    written = json.loads(json.dumps(document_of(lease)))
    again = lease_of(written)
    assert document_of(again) == document_of(lease), "reading back changes the lease"


def value_of(rng: random.Random, name: str) -> str:
    """A value as the format has it, mostly."""
    if name in USUAL and rng.random() < 0.7:
        return USUAL[name]
    if name == "timestamp" and rng.random() < 0.7:
        return quoted(rng.choice(TIMES))
    if name == "ContinuationToken" and rng.random() < 0.5:
        return quoted(base64.b64encode(rng.randbytes(rng.randrange(20))).decode())
    return json_text(rng, NAMES)


if __name__ == "__main__":
    main(check, "Fuzz the reading of lease documents.")
