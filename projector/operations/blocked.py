"""Since when somebody keeps sessions of ours waiting in PostgreSQL.

A wait for a lock is given up and begun again, many times over, so the server's own figure starts anew
each time. Here it goes on for as long as the same session is met again before long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from projector.core.pacing import BACKOFF_CAP_SECONDS
from projector.ports.copy import Blocker

FORGOTTEN_SECONDS = 2 * BACKOFF_CAP_SECONDS
"""Longer than the pause between two attempts: who was not met since then blocks nobody any more."""


@dataclass(slots=True)
class _Met:
    blocker: Blocker
    since: float
    last: float


class Blockers:
    """What a host remembers from one look to the next; moments are monotonic."""

    def __init__(self) -> None:
        """Have met nobody."""
        self._met: dict[int, _Met] = {}

    def look(self, found: Sequence[Blocker], *, at: float) -> None:
        """Take what one look found."""
        for one in found:
            began = at - one.waited_seconds
            known = self._met.get(one.pid)
            since = began if known is None else min(known.since, began)
            self._met[one.pid] = _Met(blocker=one, since=since, last=at)
        self._met = {
            pid: one for pid, one in self._met.items() if at - one.last <= FORGOTTEN_SECONDS
        }

    def seconds(self) -> dict[tuple[str, str], float]:
        """Per role and application how long sessions of ours have waited for it, as of its last look."""
        found: dict[tuple[str, str], float] = {}
        for one in self._met.values():
            who = one.blocker.role, one.blocker.application
            found[who] = max(found.get(who, 0.0), one.last - one.since)
        return found
