"""What PostgreSQL has done of a rebuild without anybody being told, since the connection was lost at COMMIT."""

from __future__ import annotations

from dataclasses import replace

import pytest

from projector.core.errors import SinkUnavailable
from projector.operations.rebuild import Wish, abort, judged, promote, start
from projector.ports.generations import FillSource, GenerationRecord, GenerationState
from tests.unit.operations.test_rebuild import LIVE, MADE, WISH, Registry


async def test_a_switch_that_nobody_confirmed_is_found_done_and_only_what_follows_is_left() -> None:
    registry = Registry(LIVE, MADE)
    registry.unconfirmed = True
    verdict = await judged(registry.sides(), MADE)
    waited: list[str] = []
    promotion = await promote(
        registry.sides(), verdict, who="ann", tell=registry.tell, waits=waited.append
    )
    assert registry.promotions == [promotion]
    assert (registry.followed, waited) == (1, ["the connection was lost at COMMIT"])


async def test_a_start_and_an_abort_that_nobody_confirmed_are_found_done() -> None:
    registry = Registry(LIVE)
    registry.unconfirmed = True
    waited: list[str] = []
    made = await start(registry.sides(), WISH, waits=waited.append)
    assert registry.records == [LIVE, made]
    assert (await abort(registry.sides(), who="ann", waits=waited.append)).id == made.id
    assert [one.state for one in registry.records] == [
        GenerationState.LIVE,
        GenerationState.ABORTED,
    ]
    assert waited == ["the connection was lost at COMMIT"] * 2


async def test_a_start_and_an_abort_that_were_not_done_say_why() -> None:
    registry = Registry(LIVE, MADE)
    registry.unasked = True
    with pytest.raises(SinkUnavailable, match="before COMMIT"):
        await abort(registry.sides(), who="ann")
    assert registry.records == [LIVE, MADE]
    registry.records = [LIVE]
    with pytest.raises(SinkUnavailable, match="before COMMIT"):
        await start(registry.sides(), WISH)
    assert registry.records == [LIVE]


async def test_what_somebody_else_has_just_started_is_not_taken_for_what_was_asked() -> None:
    registry = Registry(LIVE)

    async def another(_: Wish) -> GenerationRecord:
        registry.records = [LIVE, MADE]  # committed while ours waited for the lock
        raise SinkUnavailable("the registry is locked")

    sides = replace(registry.sides(), create=another)
    with pytest.raises(SinkUnavailable, match="is locked"):
        await start(sides, replace(WISH, source=FillSource.SCAN))
