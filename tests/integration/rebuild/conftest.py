from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cosmos_emulator import EmulatorServer
from tests.integration.rebuild.rebuilt import Rebuilt
from tests.integration.rebuild.support import Site, opened_site
from tests.integration.verify.support import paired


@pytest.fixture
async def site(emulator: EmulatorServer, database_url: str) -> AsyncIterator[Site]:
    """An empty container over four partitions, and a migrated database."""
    async with opened_site(emulator, database_url) as opened:
        yield opened


@pytest.fixture
async def rebuilt(emulator: EmulatorServer, database_url: str) -> AsyncIterator[Rebuilt]:
    """An empty container and an empty copy, of which generations can be made."""
    async with paired(emulator, database_url) as opened:
        yield Rebuilt(pair=opened)
