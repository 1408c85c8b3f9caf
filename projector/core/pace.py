"""How fast something long goes on, and how long the rest will take at that pace."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 60.0
"""What went on before that says nothing about the rest."""


class Pace:
    """The pace of one count that grows, from looks at it now and then."""

    def __init__(self, *, window_seconds: float = WINDOW_SECONDS) -> None:
        """No look was taken yet."""
        self._window = window_seconds
        self._looks: deque[tuple[float, float]] = deque()

    def look(self, now: float, done: float) -> None:
        """Note that so much was done at this moment, in seconds of a monotonic clock."""
        self._looks.append((now, done))
        while len(self._looks) > 2 and now - self._looks[1][0] >= self._window:  # noqa: PLR2004 - two looks make a pace
            self._looks.popleft()

    @property
    def per_second(self) -> float | None:
        """The pace of late; None before two looks."""
        if not self._looks:
            return None
        (began, before), (ended, after) = self._looks[0], self._looks[-1]
        return (after - before) / (ended - began) if ended > began else None

    def seconds_left(self, left: float) -> float | None:
        """How long so much more will take; None when nothing tells, as when it does not go on."""
        pace = self.per_second
        return left / pace if pace and pace > 0 else None
