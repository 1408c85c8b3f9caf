"""Request charges in request units, believable rather than exact.

A point read of one kilobyte costs one unit and a write about five and a half, as the service
documents; reading a page costs by what it returns; learning that nothing is new costs one.
"""

from __future__ import annotations

NOT_MODIFIED_RU = 1.0
METADATA_RU = 2.0
_KILOBYTE = 1024


def read_ru(size_bytes: int) -> float:
    """Charge of a point read."""
    return round(1.0 + 0.1 * max(0.0, size_bytes / _KILOBYTE - 1.0), 2)


def write_ru(size_bytes: int) -> float:
    """Charge of a create, a replace, an upsert, a patch or a delete."""
    return round(5.0 + 0.5 * size_bytes / _KILOBYTE, 2)


def page_ru(count: int, size_bytes: int) -> float:
    """Charge of one page of a feed or a query."""
    return round(1.0 + 0.02 * count + 0.1 * size_bytes / _KILOBYTE, 2)
