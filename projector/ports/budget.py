"""Request units that all hosts of a processor may spend together, and who may spend them when.

A host asks before it reads; what a read costs is known only afterwards, and told then.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol, final


class Ledger(Protocol):
    """The one line of time on which every host books what it spends."""

    async def book(self, request_units: float, *, per_second: float) -> float:
        """Book so much behind everything that is booked; the seconds until it may be spent.

        Raises: SinkUnavailable.
        """


class Bill(Protocol):
    """One read that may be made."""

    def cost(self, request_units: float, documents: int) -> None:
        """Tell what it cost, and for how many documents: later ones are foreseen by it."""


class Allowance(Protocol):
    """What one host may spend."""

    def documents(self, most: int, *, live: bool) -> int:
        """How many documents to ask for in one read: at most that many, at least one."""

    def spending(self, documents: int, *, live: bool) -> AbstractAsyncContextManager[Bill]:
        """Enter when a read of so many documents may be made; leave when it was answered.

        Args:
            documents: asked for.
            live: it asks for new changes, and goes before what is behind or read again.
        """


class _NoBill:
    def cost(self, request_units: float, documents: int) -> None:
        """Nobody counts."""


@final
class Unlimited:
    """`Allowance` without a limit."""

    def documents(self, most: int, *, live: bool) -> int:
        """As many as one likes."""
        return most

    def spending(
        self,
        documents: int,
        *,
        live: bool,
    ) -> AbstractAsyncContextManager[Bill]:
        """At once."""
        return nullcontext(_NoBill())


UNLIMITED = Unlimited()
