"""How far another clock is from this machine's."""

from __future__ import annotations

from datetime import datetime

from projector.wiring.preconditions import Finding, doubt, fine, skipped

SKEW_SECONDS = 5.0


def skew(
    check: str, ours: datetime, theirs: datetime | None, *, resolution_seconds: float = 0.0
) -> Finding:
    """What the difference means; `theirs` is exact to `resolution_seconds`."""
    if theirs is None:
        return skipped(check, "it was not told")
    seconds = abs((ours - theirs).total_seconds())
    if seconds <= SKEW_SECONDS + resolution_seconds:
        return fine(check, f"{seconds:.1f} s from this machine's")
    return doubt(
        check,
        f"{seconds:.1f} s from this machine's; lags are shown wrong by as much",
        "synchronise the clocks (NTP); above 15 minutes requests are refused",
    )
