"""From a point read to what the tables have to say. Pure.

A point read, found or 404, is a version of the document: the LSN in the answer's session token
is an upper bound of the version read and lies below any later write. Without that LSN nothing is
decided. Source: docs/explanation/correctness.md, "Repair does not take locks".
"""

from __future__ import annotations

import json

from projector.core.epk import epk_of_json, routing_key
from projector.ports.points import PointRead
from projector.ports.rows import DocumentKey, Verdict
from projector.projection.document import project_read
from projector.projection.writes import RowWrite


def verdict_of(key: DocumentKey, read: PointRead) -> Verdict | None:
    """What the answer means for the tables; None when it decides nothing."""
    if read.session_lsn is None:
        return None
    if read.raw is None:
        return Verdict(key=key, lsn=read.session_lsn, write=absence(key, read.session_lsn))
    outcome = project_read(read.raw, lsn=read.session_lsn)
    return Verdict(key=key, lsn=read.session_lsn, write=outcome.write, rejection=outcome.rejection)


def absence(key: DocumentKey, lsn: int) -> RowWrite | None:
    """The tombstone of an absent document; None when no row of that key can exist."""
    cart_id = json.loads(key.partition_key)
    if not isinstance(cart_id, str) or not cart_id or not key.id:
        return None
    epk = routing_key(epk_of_json(key.partition_key))
    return RowWrite(cart_id=cart_id, id=key.id, epk=epk, lsn=lsn, ts=0, etag="", deleted=True)
