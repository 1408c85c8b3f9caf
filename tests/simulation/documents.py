"""Single documents and scans of the cart container over the engine, each call behind a gate."""

from __future__ import annotations

import json

from cosmos_emulator import Engine
from cosmos_emulator.errors import EmulatorError
from projector.core.errors import FeedRangeGone, ProjectorError, SourceUnavailable
from projector.ports.feed import FeedTarget
from projector.ports.points import PointRead, ScannedPage
from tests.simulation.ports import CART, DATABASE, Passage, pinned

_NOT_FOUND = 404


class SimulatedPoints:
    """`PointReader` over the engine."""

    def __init__(self, engine: Engine, passage: Passage) -> None:
        self._engine = engine
        self._passage = passage
        self._rid = engine.container(DATABASE, CART).rid

    async def read(
        self, partition_key_json: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        async def act() -> PointRead:
            key = {} if partition_key_json == "{}" else json.loads(partition_key_json)
            try:
                answer = pinned(self._engine, self._rid).read(document_id, key)
            except EmulatorError as error:
                if error.status != _NOT_FOUND or error.substatus:
                    raise SourceUnavailable(error.message) from error
                return PointRead(raw=None, session_lsn=error.lsn)
            return PointRead(raw=answer.body, session_lsn=answer.lsn)

        return await self._passage.cross(f"points.read {document_id}", _source_failure, act)


class SimulatedScanner:
    """`DocumentScanner` over the engine, a few documents at a time."""

    def __init__(self, engine: Engine, passage: Passage) -> None:
        self._engine = engine
        self._passage = passage
        self._rid = engine.container(DATABASE, CART).rid

    async def count(self) -> int | None:
        return None

    async def scan(
        self, target: FeedTarget, next_page: str | None, *, max_documents: int
    ) -> ScannedPage:
        async def act() -> ScannedPage:
            container = pinned(self._engine, self._rid)
            living = {partition.range_id: partition for partition in container.partitions()}
            if target.range_id not in living:
                raise FeedRangeGone(f"range {target.range_id} is gone")
            own = target.feed_range
            found = [d.point_body for d in container.documents(own.min, own.max)]
            begin = int(next_page or 0)
            end = begin + max_documents
            body = b'{"_rid":"%s","Documents":[%s]}' % (
                container.rid.encode(),
                b",".join(found[begin:end]),
            )
            return ScannedPage(
                body=body,
                next_page=str(end) if end < len(found) else None,
                session_lsn=living[target.range_id].lsn,
            )

        return await self._passage.cross("scan", _source_failure, act)


def _source_failure() -> ProjectorError:
    return SourceUnavailable("the simulated service does not answer a point read")
