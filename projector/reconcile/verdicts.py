"""From a point read to what the tables have to say.

A point read, found or 404, is a version of the document: the LSN in the answer's session token
is an upper bound of the version read and lies below any later write. Without that LSN nothing is
decided. Source: docs/explanation/correctness.md, "Repair does not take locks".
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from projector.core.epk import epk_of_json, routing_key
from projector.core.errors import SourceUnavailable
from projector.ports.points import PointReader
from projector.ports.rows import DocumentKey, Verdict
from projector.projection.project import Projection
from projector.projection.writes import RowWrite


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Asks the container about single documents and tells what the answer means for the tables.

    A document that is not meant is, to the copy, not there.
    """

    reader: PointReader
    projection: Projection

    async def ask(self, key: DocumentKey, *, session_token: str | None = None) -> Verdict:
        """Read one document.

        Raises:
            SourceUnavailable: among others, the answer bore no session token.
        """
        read = await self.reader.read(key.partition_key, key.id, session_token=session_token)
        lsn = read.session_lsn
        if lsn is None:
            raise SourceUnavailable("the service answered a point read without a session token")
        if read.raw is None or not self.projection.selection.takes(read.raw):
            return Verdict(key=key, lsn=lsn, write=absence(key, lsn))
        outcome = self.projection.document(read.raw, lsn=lsn)
        return Verdict(key=key, lsn=lsn, write=outcome.write, rejection=outcome.rejection)


def absence(key: DocumentKey, lsn: int) -> RowWrite | None:
    """The tombstone of an absent document; None when no row of that key can exist."""
    text = json.loads(key.partition_key)
    if not isinstance(text, str) or not text or not key.id:
        return None
    epk = routing_key(epk_of_json(key.partition_key))
    return RowWrite(text, key.id, epk, lsn, ts=0, etag="", deleted=True)
