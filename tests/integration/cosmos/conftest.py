"""A container on the emulator for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cosmos_emulator import EmulatorServer
from tests.integration.cosmos.support import EmulatedWorld, emulated_world


@pytest.fixture
async def world(emulator: EmulatorServer) -> AsyncIterator[EmulatedWorld]:
    async with emulated_world(emulator) as world:
        yield world
