"""How long a loop waits and how much it asks for: numbers in, numbers out.

Idle polls grow from a minimum to a maximum and fall back with the first change. Retries wait
exponentially longer, with jitter so that hosts do not come back together; a wait that the service
asks for is kept, but never makes one shorter. A page that the service cannot build is halved and
grows back by doubling with each page that works.

How fast something long goes on, and how long the rest will take at that pace.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from projector.core.errors import LeaseStoreUnavailable, Throttled

BACKOFF_BASE_SECONDS = 0.1
BACKOFF_CAP_SECONDS = 15.0
THROTTLED_CAP_SECONDS = 5.0
"""Longest wait of our own while throttled: the budget is a matter of seconds, not of an outage."""

TOLD_CAP_SECONDS = 600.0
"""Longest wait that is kept because the service asks for it."""


def next_poll_seconds(
    previous: float | None, *, minimum_seconds: float, maximum_seconds: float
) -> float:
    """The wait after a poll without changes; `previous` None after a poll with some."""
    if previous is None:
        return minimum_seconds
    return min(maximum_seconds, max(previous * 2, minimum_seconds))


def backoff_seconds(
    failures: int,
    *,
    draw: float,
    base_seconds: float = BACKOFF_BASE_SECONDS,
    cap_seconds: float = BACKOFF_CAP_SECONDS,
) -> float:
    """The wait after that many failures in a row (1 or more).

    `draw` is a random number in [0, 1): half of the wait is fixed, half is drawn.
    """
    whole = min(cap_seconds, base_seconds * 2.0 ** min(failures - 1, 32))
    return whole * (0.5 + draw / 2)


def retry_seconds(error: Exception, failures: int, *, draw: float) -> float:
    """The wait after this error, the `failures`-th in a row (1 or more); `draw` as above.

    As told where the service asks for a wait, and never below a wait of our own that grows: an
    answer that asks for none, or for next to none, is not asked again at once.
    """
    told = None
    if isinstance(error, Throttled | LeaseStoreUnavailable):
        told = error.retry_after_seconds
    if told is None:
        return backoff_seconds(failures, draw=draw)
    return max(
        min(told, TOLD_CAP_SECONDS),
        backoff_seconds(failures, draw=draw, cap_seconds=THROTTLED_CAP_SECONDS),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSize:
    """Documents asked for per page; `current` recovers towards `configured`."""

    configured: int
    current: int

    def halved(self) -> PageSize:
        """Half of it, at least one document."""
        return replace(self, current=max(1, self.current // 2))

    def recovered(self) -> PageSize:
        """Twice as much, at most what was configured."""
        if self.current == self.configured:
            return self
        return replace(self, current=min(self.configured, self.current * 2))


def page_size(configured: int) -> PageSize:
    """The size a reader starts with. Raises: ValueError below one document."""
    if configured < 1:
        raise ValueError("a page holds at least one document")
    return PageSize(configured=configured, current=configured)


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
