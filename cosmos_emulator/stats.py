"""Counts requests and request units by operation."""

from __future__ import annotations

from collections import Counter
from typing import Any

from cosmos_emulator.engine import Engine


class Meter:
    """Adds up what was asked and what it was charged."""

    def __init__(self) -> None:
        self._requests: Counter[str] = Counter()
        self._request_units: Counter[str] = Counter()

    def record(self, operation: str, request_units: float) -> None:
        """Counts one answered request."""
        self._requests[operation] += 1
        self._request_units[operation] += request_units  # type: ignore[assignment]  # a Counter adds floats as well

    def reset(self) -> None:
        """Forgets everything counted so far."""
        self._requests.clear()
        self._request_units.clear()

    def operations(self) -> dict[str, dict[str, float]]:
        """Returns `requests` and `request_units` per operation."""
        return {
            name: {"requests": count, "request_units": round(self._request_units[name], 2)}
            for name, count in sorted(self._requests.items())
        }


def stats(engine: Engine, meter: Meter) -> dict[str, Any]:
    """The body of the stats request: operations, and every living range of every container."""
    ranges = [
        {
            "id": partition.range_id,
            "lsn": partition.lsn,
            "documents": len(partition),
            "database": database.name,
            "container": container.name,
            "min": partition.minimum,
            "max": partition.maximum,
        }
        for database, container in engine.containers()
        for partition in container.partitions()
    ]
    return {"operations": meter.operations(), "ranges": ranges}
