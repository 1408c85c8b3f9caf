"""The mode of the feed that leases were written in; it must not change under a name.

A bookmark of the all-versions-and-deletes feed is no place in the latest-version feed.
Source: .NET v3 change feed processor, mode switch check; leases of older writers have no mode
and mean this one.
"""

from __future__ import annotations

from collections.abc import Iterable

from projector.core.errors import ConfigurationError
from projector.core.lease import Lease

LATEST_VERSION = "Incremental Feed"


def check_mode(leases: Iterable[Lease]) -> None:
    """Refuse leases of another mode. Raises: ConfigurationError."""
    for lease in leases:
        mode = lease.mode or LATEST_VERSION
        if mode.casefold() != LATEST_VERSION.casefold():
            raise ConfigurationError(
                f"Switching ChangeFeedMode {mode} to {LATEST_VERSION} is not allowed:"
                f" lease {lease.token} is of another kind of feed; use another processor name"
            )
