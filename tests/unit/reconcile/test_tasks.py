from __future__ import annotations

import asyncio

import pytest

from projector.core.errors import SinkUnavailable
from projector.reconcile.tasks import all_of, both_of


class Work:
    """Fails, or waits for ever and tells whether it was ended."""

    def __init__(self, failure: Exception | None = None) -> None:
        self._failure = failure
        self.ended = False

    async def run(self) -> str:
        if self._failure is not None:
            raise self._failure
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True
        return "never"


async def number(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def test_results_come_in_the_order_of_the_works() -> None:
    assert await all_of((number(n) for n in range(5)), name="numbers") == [0, 1, 2, 3, 4]
    assert await both_of(number(1), number(2), name="two") == (1, 2)


async def test_the_first_error_is_raised_as_it_is_and_ends_the_others() -> None:
    other = Work()
    with pytest.raises(SinkUnavailable, match="down"):
        await all_of([other.run(), Work(SinkUnavailable("down")).run()], name="works")
    assert other.ended


async def test_a_cancellation_that_meets_an_error_is_not_forgotten() -> None:
    """A task group of Python 3.11 would raise the error alone, and the caller would try again."""
    failing = Work(SinkUnavailable("down"))
    waiting = Work()

    async def caller() -> None:
        await all_of([waiting.run(), failing.run()], name="works")

    task = asyncio.get_running_loop().create_task(caller())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()


async def test_a_cancellation_ends_all_works() -> None:
    works = [Work(), Work()]
    task = asyncio.get_running_loop().create_task(
        both_of(works[0].run(), works[1].run(), name="two")
    )
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [work.ended for work in works] == [True, True]
