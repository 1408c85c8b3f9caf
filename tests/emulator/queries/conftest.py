"""One emulator with four partitions for each module, and a database in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.cosmos import DatabaseProxy

from cosmos_emulator import Emulator
from tests.fixtures.blocking import blocking_client


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator(partitions=4) as running:
        yield running


@pytest.fixture(scope="module")
def database(server: Emulator) -> Iterator[DatabaseProxy]:
    with blocking_client(server.endpoint, server.key) as client:
        yield client.create_database("acme-webstore")
