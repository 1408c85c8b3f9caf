"""These tests run in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from tests.fakes.clock import virtual_loops
from tests.fakes.world import World


def pytest_asyncio_loop_factories() -> Mapping[str, Any]:
    return virtual_loops()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World(partitions=4)
    yield made
    await made.stop_all()


@pytest.fixture
async def one() -> AsyncIterator[World]:
    """A container of one partition, where order is total."""
    made = World()
    yield made
    await made.stop_all()
