"""The right to change which ranges exist: one transaction at a time has it."""

from __future__ import annotations

from projector.postgres.connections import Session

# A lock of a table needs rights on it; an advisory one can be taken by whoever may connect.
LOCK_OPENINGS = "LOCK TABLE projector.source IN SHARE ROW EXCLUSIVE MODE"


async def lock_openings(session: Session) -> None:
    """Wait for the right to change which ranges exist, until the transaction ends."""
    await session.execute(LOCK_OPENINGS)
