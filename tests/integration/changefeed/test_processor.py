"""The library over HTTP, with the real SDK, as its user meets it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cosmos_emulator import EmulatorServer
from projector.changefeed import (
    ChangeContext,
    ChangeFeedEstimator,
    ChangeHandlerFailed,
    CloseReason,
    ConfigurationError,
    SourceMissing,
)
from tests.fixtures.emulator import control
from tests.integration.changefeed.shop import (
    COLLECTION,
    DEADLINE_SECONDS,
    NAMES,
    Shop,
    opened,
    until,
)

ROOT = Path(__file__).parents[3]
HOWTO = ROOT / "docs" / "howto" / "use-as-a-library.md"


@pytest.fixture
async def shop(emulator: EmulatorServer) -> AsyncIterator[Shop]:
    async with opened(emulator) as made:
        yield made


async def test_changes_are_delivered_bookmarked_and_resumed(shop: Shop) -> None:
    await shop.write(*NAMES)
    async with shop.processor():
        await until(lambda: len(shop.seen) == len(NAMES))
        await shop.write("later")
        await until(lambda: shop.seen[-1] == "later")
    assert sorted(shop.seen) == sorted([*NAMES, "later"])
    leases = await shop.leases()
    assert {lease["Owner"] for lease in leases} == {None}
    assert all(lease["ContinuationToken"].startswith('"') for lease in leases)
    async with shop.processor():
        await shop.write("last")
        await until(lambda: shop.seen[-1] == "last")
    assert len(shop.seen) == len(NAMES) + 2


async def test_containers_of_the_sdk_are_accepted(shop: Shop) -> None:
    await shop.write(*NAMES)
    async with shop.processor(container=shop.cart, lease_container=shop.lease):
        await until(lambda: len(shop.seen) == len(NAMES))
    await shop.write("the user's client still works")


async def test_two_processes_share_the_ranges(shop: Shop) -> None:
    first = shop.processor(instance_name="first")
    second = shop.processor(instance_name="second")
    await first.start()
    await second.start()
    owners: list[Any] = []

    async def look() -> None:
        while sorted(owners) != ["first", "first", "second", "second"]:
            owners[:] = [lease["Owner"] or "" for lease in await shop.leases()]

    async with asyncio.timeout(DEADLINE_SECONDS):
        await look()
    await shop.write(*NAMES)
    await until(lambda: len(set(shop.seen)) == len(NAMES))
    await second.stop()
    await first.stop()


async def test_handler_that_raises_gets_the_same_changes_again(shop: Shop) -> None:
    await shop.write("one")
    errors: list[Exception] = []
    attempts = 0

    async def flaky(changes: list[dict[str, Any]], context: ChangeContext) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ValueError("not today")
        await shop.handle(changes, context)

    async def on_error(_token: str, error: Exception) -> None:
        errors.append(error)

    async with shop.processor(handler=flaky, on_error=on_error):
        await until(lambda: shop.seen == ["one"])
    (error,) = errors
    assert isinstance(error, ChangeHandlerFailed)
    assert isinstance(error.__cause__, ValueError)


async def test_hooks_tell_of_leases(shop: Shop) -> None:
    told: list[tuple[str, str]] = []

    async def on_acquired(token: str) -> None:
        told.append(("acquired", token))

    async def on_released(token: str, reason: CloseReason) -> None:
        told.append((reason.value, token))

    async with shop.processor(on_acquired=on_acquired, on_released=on_released):
        await until(lambda: len(told) == 4)
    assert sorted(told[:4]) == [("acquired", token) for token in "0123"]
    assert sorted(told[4:]) == [("shutdown", token) for token in "0123"]


async def test_cancelled_run_stops_in_good_order(shop: Shop) -> None:
    await shop.write("one")
    processor = shop.processor()
    running = asyncio.create_task(processor.run())
    await until(lambda: shop.seen)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert {lease["Owner"] for lease in await shop.leases()} == {None}
    await processor.start()
    await processor.stop()
    await processor.stop()


async def test_checkpoint_by_hand_is_refused_when_automatic(shop: Shop) -> None:
    await shop.write("one")
    async with shop.processor():
        await until(lambda: shop.contexts)
        with pytest.raises(RuntimeError, match="automatic"):
            await shop.contexts[0].checkpoint()


async def test_split_and_merge_while_running(shop: Shop) -> None:
    await shop.write(*NAMES)
    async with shop.processor():
        await until(lambda: len(shop.seen) == len(NAMES))
        children = (await control(shop.server, f"{COLLECTION}/split", {"range": "0"}))["children"]
        await shop.write(*(f"split-{n}" for n in range(40)))
        await until(lambda: len(set(shop.seen)) == 80)
        await control(shop.server, f"{COLLECTION}/merge", {"ranges": children})
        await shop.write(*(f"merge-{n}" for n in range(40)))
        await until(lambda: len(set(shop.seen)) == 120)
    assert len(shop.seen) == 120


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"container": "nowhere"}, SourceMissing, id="missing container"),
        pytest.param({"key": "d3Jvbmc="}, ConfigurationError, id="wrong key"),
    ],
)
async def test_check_026_what_is_wrong_raises_at_the_start(
    shop: Shop, changes: dict[str, str], error: type[Exception]
) -> None:
    processor = shop.processor(container=shop.address(**changes))
    with pytest.raises(error):
        await processor.start()
    await processor.stop()


async def test_second_start_is_refused(shop: Shop) -> None:
    async with shop.processor() as processor:
        with pytest.raises(RuntimeError, match="runs already"):
            await processor.start()


@pytest.mark.parametrize("wrong", ["something", 5])
def test_wrong_container_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="CosmosContainer"):
        ChangeFeedEstimator(container=wrong, lease_container=wrong, processor_name="x")


async def test_estimator_tells_the_gap_from_outside(shop: Shop) -> None:
    async with ChangeFeedEstimator(
        container=shop.address(), lease_container=shop.address("lease"), processor_name="test"
    ) as estimator:
        assert await estimator.gap() == 1
        async with shop.processor(instance_name="me"):
            await shop.write(*NAMES)
            await until(lambda: len(shop.seen) == len(NAMES))
        assert await estimator.gap() == 0
        await shop.write(*(f"more-{n}" for n in range(7)))
        estimates = await estimator.estimate()
        assert sum(one.gap_changes or 0 for one in estimates) == 7
        assert all(one.owner is None for one in estimates)


def first_example() -> str:
    found = re.search(r"```python\n(.*?)```", HOWTO.read_text("utf-8"), flags=re.DOTALL)
    assert found
    return found[1]


def test_the_readme_shows_the_same_example() -> None:
    assert first_example() in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.slow
async def test_example_of_the_howto_runs_as_printed(
    emulator: EmulatorServer, tmp_path: Path
) -> None:
    script = tmp_path / "example.py"
    script.write_text(first_example())
    async with opened(emulator) as shop:
        await shop.write("one", "two")
        environment = os.environ | {
            "COSMOS_ENDPOINT": emulator.endpoint,
            "COSMOS_KEY": emulator.key,
            "PYTHONPATH": str(ROOT),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, script, stdout=subprocess.PIPE, env=environment
        )
        assert process.stdout is not None
        printed: set[str] = set()
        async with asyncio.timeout(60):
            while not {"one", "two"} <= printed:
                line = await process.stdout.readline()
                assert line, "the example ended early"
                printed |= set(line.decode().split()[-1:])
        process.send_signal(signal.SIGTERM)
        await process.stdout.read()
        assert await process.wait() == 0
        assert {lease["Owner"] for lease in await shop.leases()} == {None}
