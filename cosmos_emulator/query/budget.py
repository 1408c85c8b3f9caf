"""What a query may cost, counted in steps: about one for each row and each few parts of a value.

Whoever runs queries puts a budget in force for its thread. It ends a query that would run on and on, and
has it pause now and then, so that others get their turn. Steps are counted and not timed: the same query
over the same documents pauses, and is refused, at the same place on every machine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from cosmos_emulator.query.errors import QueryError
from cosmos_emulator.query.values import Value

PAUSE_STEPS: Final = 250
"""At most so many steps, and what the last of them costs, lie between two pauses: a few milliseconds."""

_MOST_PARTS: Final = 1_500_000
_TEXT_SHIFT: Final = 4  # so many characters, as a power of two, weigh as much as one part
_PARTS_A_STEP: Final = 32
_LONGEST_TEXT: Final = 4 * 1024 * 1024


class Budget:
    """So many steps, with a pause after each few of them."""

    def __init__(self, most_steps: int, pause: Callable[[], None] | None = None) -> None:
        self.spent = 0
        self._most_steps = most_steps
        self._pause = pause
        self._next_pause = PAUSE_STEPS

    def spend(self, steps: int) -> None:
        """Counts steps.

        Raises:
            QueryError: there are none left.
        """
        self.spent += steps
        if self.spent > self._most_steps:
            raise QueryError(
                f"The query takes more than {self._most_steps:,} steps; filter more, or join less"
            )
        if self.spent >= self._next_pause and self._pause is not None:
            self._next_pause = self.spent + PAUSE_STEPS
            self._pause()

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """All queries of this thread spend from this budget meanwhile."""
        before, _THREAD.budget = _THREAD.budget, self
        try:
            yield
        finally:
            _THREAD.budget = before


class _Thread(threading.local):
    budget: Budget | None = None


_THREAD: Final = _Thread()


def is_limited() -> bool:
    """Whether a budget is in force."""
    return _THREAD.budget is not None


def spend(steps: int = 1) -> None:
    """Takes steps from the budget in force, if there is one."""
    budget = _THREAD.budget
    if budget is not None:
        budget.spend(steps)


def bounded(value: Value) -> Value:
    """A value that was put together, unchanged: it costs by all that is in it.

    Parts are counted as often as they are written out: nesting a value twice in itself, over and over,
    takes little memory here and endless time there.

    Raises:
        QueryError: it is too large for any answer.
    """
    parts, paid, waiting = 0, 0, [value]
    while waiting:
        part = waiting.pop()
        items = part.values() if type(part) is dict else part
        parts += 1
        for item in items:
            kind = type(item)
            if kind is str:
                parts += len(item) >> _TEXT_SHIFT
            elif kind is list or kind is dict:
                waiting.append(item)
        parts += len(part)
        if parts > _MOST_PARTS:
            raise QueryError("A value in the query grows too large")
        if parts - paid >= _PARTS_A_STEP:
            spend((parts - paid) // _PARTS_A_STEP)
            paid = parts
    return value


def bounded_text(length: int) -> None:
    """Refuses to make a text of that length.

    Raises:
        QueryError: it is too long.
    """
    if length > _LONGEST_TEXT:
        raise QueryError(f"A text in the query grows beyond {_LONGEST_TEXT:,} characters")
    spend(length >> 12)
