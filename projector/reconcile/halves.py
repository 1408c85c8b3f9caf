"""Writing many verdicts, where one that the target cannot store in time costs itself alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from projector.core.errors import SinkTooSlow
from projector.ports.rows import DocumentKey, Verdict

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Generic[T]):
    """What each part's write said, and why documents were not written."""

    answers: Sequence[T]
    unwritten: Mapping[DocumentKey, str]


async def in_halves(
    write: Callable[[Sequence[Verdict]], Awaitable[T]], verdicts: Sequence[Verdict]
) -> Written[T]:
    """Write all at once, or in halves of halves around what is too much for the target.

    Raises:
        SinkTooSlow: Nothing could be written in time, so it is the target that is slow.
    """
    answers: list[T] = []
    unwritten: dict[DocumentKey, str] = {}
    waiting = [verdicts]
    while waiting:
        part = waiting.pop()
        try:
            answers.append(await write(part))
        except SinkTooSlow as error:
            middle = len(part) // 2
            if middle:
                waiting += [part[middle:], part[:middle]]
                continue
            unwritten.update({one.key: str(error) for one in part})
            if not answers and (not waiting or len(unwritten) > 1):
                raise
    return Written(answers=answers, unwritten=unwritten)
