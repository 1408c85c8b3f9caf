"""Our way of writing batches: the sink as a host drives it, and the same sink without totals.

Both keep everything else: fence, position, lineage, version guard, tombstones, and the accounting of
seen keys, since every range here is opened as a replay from the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

import psycopg

from benchmarks.documents import CONTAINER_RID
from benchmarks.target import WrongResult
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.core.start import Position
from projector.ports.feed import Beginning, Grant, RangeClaim
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.sink import PostgresSink
from projector.postgres.tables import table_statements
from projector.projection.carts import CARTS
from projector.projection.writes import ProjectedPage

PLAIN = Generation(definition=replace(CARTS, totals=()), schema="projector_plain")
"""A generation whose batches write no totals."""

NEVER = 1 << 60
_START = Position(continuation=None, lsn=None)


class Ours:
    """One granted range of one database, written through the real sink."""

    def __init__(self, url: str, *, generation: Generation = FIRST_GENERATION) -> None:
        self._connections = Connections(ConnectionOptions(url=url, connections=1))
        self._sink = PostgresSink(self._connections, generation=generation)
        self._claim = RangeClaim(
            container_rid=CONTAINER_RID,
            processor_name="bench",
            lease_token=LeaseToken(generation.schema),
            feed_range=FULL_RANGE,
            owner=InstanceName("bench"),
        )
        self._opened: Grant | None = None
        self._lsn = 0
        self.backend_pid = 0

    async def __aenter__(self) -> Self:
        await self._connections.open()
        grant = await self._sink.open(self._claim)
        beginning = Beginning(position=_START, replay_mark_lsn=NEVER)
        self._opened = await self._sink.begin(grant, beginning)
        async with self._connections.session() as session:
            self.backend_pid = session.info.backend_pid
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._connections.close()

    async def apply(self, pages: Sequence[ProjectedPage]) -> None:
        """Fold, encode, send and commit one batch, with its position."""
        if self._opened is None:
            raise WrongResult("the range was not opened")
        self._lsn += 1
        position = Position(continuation=Continuation(f'"{self._lsn}"'), lsn=self._lsn)
        await self._sink.apply(self._opened, pages, position)


def create_plain(url: str) -> None:
    """Make the generation without totals."""
    with psycopg.connect(url) as connection:
        for statement in table_statements(PLAIN):
            connection.execute(statement.encode())
