"""The target keeps the contract that every sink keeps."""

from __future__ import annotations

import pytest

from projector.ports.points import PointRead
from projector.postgres.sink import PostgresSink
from projector.reconcile.answers import Judge
from projector.reconcile.sweep import Sweeper
from tests.carts import CART_PROJECTION
from tests.contract.sink import SinkContract


class EmptyContainer:
    """Point reads of a container that has lost everything."""

    async def read(
        self, partition_key_json: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        return PointRead(raw=None, session_lsn=1000)


class TestPostgresSink(SinkContract):
    @pytest.fixture
    def sweeper(self, sink: PostgresSink) -> Sweeper:
        judge = Judge(reader=EmptyContainer(), projection=CART_PROJECTION)
        return Sweeper(store=sink.verdicts, judge=judge)
