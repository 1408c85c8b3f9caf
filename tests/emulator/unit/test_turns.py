"""Computations that pause, and the loop that goes round meanwhile."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cosmos_emulator.query import PAUSE_STEPS, QueryError, spend
from cosmos_emulator.turns import PAGE_STEPS, Turns


def counting(name: str, seen: list[str], *, rounds: int = 3) -> str:
    for number in range(rounds):
        seen.append(f"{name}{number}")
        spend(PAUSE_STEPS)
    return name


async def test_the_loop_goes_round_at_every_pause() -> None:
    turns, seen = Turns(), list[str]()
    working = asyncio.create_task(turns.take(lambda: counting("a", seen)))
    told: list[int] = []
    while not working.done():
        told.append(len(seen))
        await asyncio.sleep(0)
    assert await working == "a"
    assert {0, 1, 2, 3} == set(told)
    assert turns.taken == 4


async def test_two_computations_take_turns() -> None:
    turns, seen = Turns(), list[str]()
    await asyncio.gather(
        turns.take(lambda: counting("a", seen)), turns.take(lambda: counting("b", seen))
    )
    assert seen == ["a0", "b0", "a1", "b1", "a2", "b2"]


async def test_what_nobody_waits_for_ends() -> None:
    turns, seen = Turns(), list[str]()
    before = threading.active_count()
    working = asyncio.create_task(turns.take(lambda: counting("a", seen, rounds=1000)))
    while not seen:  # noqa: ASYNC110 - there is nothing to wait for but the loop itself
        await asyncio.sleep(0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert len(seen) < 1000
    assert threading.active_count() == before


async def test_an_error_is_the_waiters() -> None:
    with pytest.raises(QueryError, match="steps"):
        await Turns().take(lambda: spend(PAGE_STEPS + 1))
