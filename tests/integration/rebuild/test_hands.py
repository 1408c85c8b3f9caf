"""Whoever waits for a rebuild does the work of a host, as soon as none runs."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from projector.processor.clock import SystemClock
from projector.wiring import rebuilds
from tests.integration.rebuild.rebuilt import Rebuilt
from tests.integration.verify.support import until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]


async def test_when_the_last_host_goes_the_command_goes_on_alone(
    rebuilt: Rebuilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilds, "LOOK_FOR_HOSTS_SECONDS", 0.2)
    told: list[str] = []
    await rebuilt.pair.lines(10)
    async with (
        AsyncExitStack() as hosts,
        rebuilds.opened(rebuilt.pair.settings, clock=SystemClock()) as opened,
    ):
        await hosts.enter_async_context(rebuilt.pair.host())
        made = await rebuilt.filled((await rebuilt.start()).id)
        await until(opened.reached.anybody)  # the host has said that it runs
        async with opened.hands(told.append):
            await rebuilt.pair.lines(10, cart="later")
            await rebuilt.filled(made.id)
            assert told == []
            await hosts.aclose()
            await rebuilt.pair.lines(10, cart="last")
            verdict = await rebuilt.judged(await rebuilt.filled(made.id))
            assert (verdict.open, verdict.compared.counts["rows"]) == (True, 30)
    assert [line.split(":")[0] for line in told] == ["no host runs"]
