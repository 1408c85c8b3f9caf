from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cosmos_emulator import EmulatorServer
from tests.contract.change_source import ChangeSourceContract
from tests.contract.lease_store import LeaseStoreContract
from tests.integration.cosmos.support import (
    EmulatedLeases,
    EmulatedWorld,
    emulated_leases,
    emulated_world,
)


class TestCosmosChangeSource(ChangeSourceContract):
    @pytest.fixture
    async def world(self, emulator: EmulatorServer) -> AsyncIterator[EmulatedWorld]:
        async with emulated_world(emulator) as world:
            yield world


class TestLeaseStoreCreatingItsContainer(LeaseStoreContract):
    @pytest.fixture
    async def world(self, emulator: EmulatorServer) -> AsyncIterator[EmulatedLeases]:
        async with emulated_leases(emulator) as world:
            yield world


class TestLeaseStorePartitionedOnItsOwnField(LeaseStoreContract):
    """The other partition key that .NET accepts, here without any TTL: locks never expire."""

    @pytest.fixture
    async def world(self, emulator: EmulatorServer) -> AsyncIterator[EmulatedLeases]:
        async with emulated_leases(emulator) as world:
            await world.create_container("/partitionKey")
            yield world
