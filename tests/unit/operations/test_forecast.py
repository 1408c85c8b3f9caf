"""What a replay costs is told from the account's count, a small page, the limit, and what hosts have reached."""

from __future__ import annotations

from typing import Any

import pytest

from projector.operations.forecast import Forecast, forecast
from tests.fakes.clock import FakeClock
from tests.fakes.container import FakeContainer
from tests.fakes.source import FakeChangeSource


class Scanner:
    def __init__(self, count: int | None) -> None:
        self._count = count

    async def count(self) -> int | None:
        return self._count

    async def scan(self, *_: object, **__: object) -> Any:
        raise AssertionError("nothing is scanned")


async def told(
    *, counted: int | None, documents: int = 800, of: int | None = None, **options: float | None
) -> tuple[Forecast, FakeChangeSource]:
    clock = FakeClock()
    container = FakeContainer(clock, partitions=8)
    container.fill(documents)
    source = FakeChangeSource(container, clock)
    ranges = None if of is None else (await source.physical_ranges())[:of]
    given: dict[str, float | None] = {"per_second": None, "pace": None, **options}
    found = await forecast(
        source=source,
        scanner=Scanner(counted),
        ranges=ranges,
        per_second=given["per_second"],
        pace=given["pace"],
    )
    return found, source


async def test_documents_units_and_time_under_the_limit() -> None:
    found, source = await told(counted=1_000_000, per_second=400)
    assert found.documents == 1_000_000
    assert found.request_units == pytest.approx(1_000_000 * 2 / 100, rel=0.3)
    assert found.seconds == pytest.approx((found.request_units or 0) / 400)
    assert found.limited
    assert {asked for *_, asked in source.reads} == {100}  # a little, of a few ranges
    assert len(source.reads) == 4


async def test_whatever_takes_longer_says_how_long() -> None:
    by_limit, _ = await told(counted=1_000_000, per_second=10, pace=10_000)
    by_pace, _ = await told(counted=1_000_000, per_second=1_000_000, pace=100)
    assert (by_limit.limited, by_pace.limited) == (True, False)
    assert by_pace.seconds == 10_000
    assert str(by_limit).endswith(" under PROJECTOR_MAX_REQUEST_UNITS")
    assert str(by_pace).endswith(", 2 h 46 min")


async def test_some_of_the_ranges_are_their_part_of_the_whole() -> None:
    found, source = await told(counted=8_000, of=2)
    assert found.documents == 2_000
    assert len(source.reads) == 2


async def test_what_nobody_can_tell_is_unknown() -> None:
    no_count, _ = await told(counted=None, per_second=400)
    assert no_count == Forecast(documents=None, request_units=None, seconds=None)
    no_pace, _ = await told(counted=100)
    assert no_pace.seconds is None
    assert "for how long nobody can say yet" in str(no_pace)


async def test_an_empty_container_costs_nothing_that_could_be_told() -> None:
    found, _ = await told(counted=0, documents=0, per_second=400)
    assert (found.documents, found.request_units, found.seconds) == (0, None, None)
