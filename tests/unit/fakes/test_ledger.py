from __future__ import annotations

import pytest

from tests.contract.ledger import LedgerContract
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import FakeLedger


class TestFakeLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> FakeLedger:
        return FakeLedger(FakeClock())
