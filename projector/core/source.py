"""What a copy is a copy of: names that a person chose, beside the `_rid` that the service gave.

A `_rid` alone cannot tell a container that was deleted and created again from a typing error in a
setting; the names beside it can.
"""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override


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
