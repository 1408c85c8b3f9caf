"""Whatever is tested alone runs in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.fakes.clock import virtual_loops


def pytest_asyncio_loop_factories() -> Mapping[str, Any]:
    return virtual_loops()
