"""Point reads under a filter: a document that is not meant is, to the copy, not there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from projector.ports.points import PointRead, PointReader
from projector.projection.selection import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedReader:
    """`PointReader` that answers for what is meant; the version of the answer stays."""

    reader: PointReader
    selection: Selection

    async def read(
        self, partition_key_json: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        """Read one document; see `PointReader`."""
        found = await self.reader.read(partition_key_json, document_id, session_token=session_token)
        if found.raw is None or self.selection.takes(found.raw):
            return found
        return replace(found, raw=None, etag=None)
