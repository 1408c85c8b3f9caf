from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cosmos_emulator import EmulatorServer
from tests.integration.rebuild.support import Site, opened_site


@pytest.fixture
async def site(emulator: EmulatorServer, database_url: str) -> AsyncIterator[Site]:
    """An empty container over four partitions, and a migrated database."""
    async with opened_site(emulator, database_url) as opened:
        yield opened
