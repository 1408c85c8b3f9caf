from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cosmos_emulator import EmulatorServer
from tests.integration.verify.support import Pair, paired


@pytest.fixture
async def pair(emulator: EmulatorServer, database_url: str) -> AsyncIterator[Pair]:
    """An empty container and an empty copy."""
    async with paired(emulator, database_url) as opened:
        yield opened
