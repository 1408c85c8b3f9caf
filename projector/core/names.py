"""The identifiers that cross module borders, each a type of its own.

A `Continuation` is opaque text from the service: only `projector.cosmos` may look inside.

What a copy is a copy of: names that a person chose, beside the `_rid` that the service gave.

A `_rid` alone cannot tell a container that was deleted and created again from a typing error in a
setting; the names beside it can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from typing_extensions import override

LeaseToken = NewType("LeaseToken", str)
"""Name of a lease: a physical partition id ("0") or the bounds of a range ("05C1-FF")."""

InstanceName = NewType("InstanceName", str)
"""Name of one running host, as written into the owner field of its leases."""

Epoch = NewType("Epoch", int)
"""Fencing number of one acquisition; only grows."""

Continuation = NewType("Continuation", str)
"""How far the feed was read, as the service wrote it: a quoted etag such as `"1543"`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One run of one host: two hosts of one name, or two runs of one host, are not the same.

    `incarnation` is drawn at each start; empty where leases do not tell it.
    """

    name: InstanceName
    incarnation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceName:
    """A container as a person names it; `account` is the endpoint's host."""

    account: str
    database: str
    container: str

    @override
    def __str__(self) -> str:
        """Account, database and container, as they are typed to follow another one."""
        return f"{self.account}/{self.database}/{self.container}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceIdentity:
    """All that the target remembers of its source beside the `_rid`.

    Attributes:
        key_path: the container's partition key.
        projection: which documents are projected, and how, in one line.
    """

    name: SourceName
    key_path: str
    projection: str
