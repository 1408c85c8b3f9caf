"""Loads the shared fixtures and pins down what Hypothesis may vary between machines."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from projector.core import secrets

# A busy machine must not turn a property into a timing test.
settings.register_profile("projector", deadline=None, print_blob=True)
settings.load_profile("projector")

pytest_plugins = [
    "cosmos_emulator.pytest_plugin",  # also where the installation is older than its entry point
    "tests.fixtures.emulator",
    "tests.fixtures.postgres",
    "tests.fixtures.worlds",
]


@pytest.fixture(autouse=True)
def _secrets_of_other_tests_are_words_again() -> Iterator[None]:
    yield
    secrets._patterns.clear()


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command run inside a test sets up the logs; other tests must not notice."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what needs a server, and lets each worker begin with what takes long.

    `-m "not postgres"` runs the rest without a server. The workers take equal parts of the order, and steal
    from each other's end: short tests are left to be shared when there is little left.
    """
    for item in items:
        if "postgres_server_url" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    share = -(-len(items) // workers) or 1
    parts = [items[first : first + share] for first in range(0, len(items), share)]
    items[:] = [item for part in parts for item in sorted(part, key=_short)]


def _short(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is None
