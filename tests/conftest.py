"""Loads the shared fixtures and pins down what Hypothesis may vary between machines."""

from __future__ import annotations

import pytest
from hypothesis import settings

# A busy machine must not turn a property into a timing test.
settings.register_profile("projector", deadline=None, print_blob=True)
settings.load_profile("projector")

pytest_plugins = ["tests.fixtures.postgres", "tests.fixtures.emulator"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a server, so that `-m "not postgres"` runs the rest without one."""
    for item in items:
        if "postgres_server_url" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)
