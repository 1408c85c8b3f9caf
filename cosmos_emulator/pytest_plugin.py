"""The fixtures of the pytest plugin: an account per session, and a fresh one or a database per test.

Installed with the distribution, so that pytest loads it at every start; what it needs is imported when a
test asks for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cosmos_emulator.emulator import Emulator


@pytest.fixture(scope="session")
def cosmos_options() -> dict[str, Any]:
    """How accounts are made; override it with options of `Emulator`, such as `{"partitions": 1}`."""
    return {}


@pytest.fixture(scope="session")
def cosmos_emulator(cosmos_options: dict[str, Any]) -> Iterator[Emulator]:
    """One account for the session, on a free port; each worker of pytest-xdist has its own."""
    with _emulator(cosmos_options) as emulator:
        yield emulator


@pytest.fixture
def cosmos_account(cosmos_options: dict[str, Any]) -> Iterator[Emulator]:
    """A fresh, empty account for one test, with a port, a clock and faults of its own."""
    with _emulator(cosmos_options) as emulator:
        yield emulator


@pytest.fixture
def cosmos_database(cosmos_emulator: Emulator) -> Iterator[str]:
    """The name of a fresh database on the session's account; faults, clock and odd ids end with the test."""
    name = f"test-{uuid.uuid4()}"
    cosmos_emulator.create_database(name)
    yield name
    cosmos_emulator.clear_faults()
    cosmos_emulator.control("POST", "clock", {"offset_seconds": 0})
    cosmos_emulator.control("POST", "odd_ids", {"answer": "as_sent"})
    cosmos_emulator.delete_database(name)


def _emulator(options: dict[str, Any]) -> Emulator:
    from cosmos_emulator.emulator import Emulator

    return Emulator(**options)
