"""The conformance list runs in virtual time; see docs/reference/conformance.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.fakes.clock import virtual_loops


def pytest_asyncio_loop_factories() -> Mapping[str, Any]:
    return virtual_loops()
