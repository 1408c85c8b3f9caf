"""Works side by side that stand or fall together, for callers that tell errors apart.

A task group wraps the error in a group, and before Python 3.13 it forgets a cancellation that meets
one: a stop would then look like an outage, and be waited out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def all_of(works: Iterable[Coroutine[Any, Any, A]], *, name: str) -> list[A]:
    """Run them as tasks of that name, and give their results in their order.

    The first error ends the others and is raised as it is; so does a cancellation. No task is left
    when this returns.
    """
    tasks = [_task(work, f"{name}:{number}") for number, work in enumerate(works)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await _ended(tasks)


async def both_of(
    first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B], *, name: str
) -> tuple[A, B]:
    """`all_of` for two works of different kinds."""
    one, other = _task(first, f"{name}:0"), _task(second, f"{name}:1")
    try:
        await asyncio.gather(one, other)
    finally:
        await _ended((one, other))
    return one.result(), other.result()


def _task(work: Coroutine[Any, Any, A], name: str) -> asyncio.Task[A]:
    return asyncio.get_running_loop().create_task(work, name=name)


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
