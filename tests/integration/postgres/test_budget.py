"""Request units are booked on one line in PostgreSQL, by its clock."""

from __future__ import annotations

import pytest

from projector.postgres.budget import PostgresLedger
from projector.postgres.connections import Connections
from tests.contract.ledger import LedgerContract

pytestmark = pytest.mark.postgres

FAR_AHEAD = "UPDATE projector.request_units SET booked_until = now() + interval '1 day'"


class TestPostgresLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, connections: Connections) -> PostgresLedger:
        return PostgresLedger(connections=connections, processor_name="projector")

    async def test_another_processor_has_a_line_of_its_own(
        self, ledger: PostgresLedger, connections: Connections
    ) -> None:
        await ledger.book(100_000, per_second=1000)
        other = PostgresLedger(connections=connections, processor_name="other")
        assert await other.book(1, per_second=1000) == 0

    async def test_a_clock_that_was_far_ahead_holds_nobody_up(
        self, ledger: PostgresLedger, connections: Connections
    ) -> None:
        await ledger.book(1, per_second=1000)
        async with connections.session() as session:
            await session.execute(FAR_AHEAD)
        assert await ledger.book(1, per_second=1000) <= 120
