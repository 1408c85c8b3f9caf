"""The identifiers that cross module borders, each a type of its own.

A `Continuation` is opaque text from the service: only `projector.cosmos` may look inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

LeaseToken = NewType("LeaseToken", str)
"""Name of a lease: a physical partition id ("0") or the bounds of a range ("05C1-FF")."""

InstanceName = NewType("InstanceName", str)
"""Name of one running host, as written into the owner field of its leases."""

Epoch = NewType("Epoch", int)
"""Fencing number of one acquisition; only grows."""

Continuation = NewType("Continuation", str)
"""Place in the feed as the service wrote it: a quoted etag such as `"1543"`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One run of one host: two hosts of one name, or two runs of one host, are not the same.

    `incarnation` is drawn at each start; empty where leases do not tell it.
    """

    name: InstanceName
    incarnation: str = ""
