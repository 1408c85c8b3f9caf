"""Shops for hosts in the test's own process."""

from __future__ import annotations

import pytest

from cosmos_emulator import EmulatorServer
from tests.integration.wiring.support import Shop


@pytest.fixture
def shop(emulator: EmulatorServer, database_url: str) -> Shop:
    return Shop(emulator=emulator, url=database_url)
