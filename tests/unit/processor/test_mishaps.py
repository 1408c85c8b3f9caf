"""Failures at odd moments that must cost nothing but time."""

from __future__ import annotations

import random

import pytest

from projector.core.errors import (
    ConfigurationError,
    ProjectorError,
    SinkRefused,
    SinkUnavailable,
    SourceRecreated,
    SourceUnavailable,
)
from projector.core.names import LeaseToken
from projector.core.start import NOW
from projector.core.states import RangeState
from projector.processor.host import Host
from tests.fakes.world import World

ZERO = LeaseToken("0")


@pytest.mark.parametrize("error", [SinkUnavailable("down"), RuntimeError("a bug")])
async def test_reports_that_fail_cost_reports_alone(one: World, error: Exception) -> None:
    await one.caught_up()
    one.sink.faults.plan("report", error, times=5)
    one.container.fill(10)
    await one.until(one.consistent, within_seconds=2)
    await one.pass_time(10)
    one.sink.reports.clear()
    await one.until(lambda: one.sink.reports, within_seconds=2)


async def test_last_report_says_stopped(one: World) -> None:
    await one.caught_up()
    await one.stop("a")
    assert one.sink.reports[ZERO].state is RangeState.STOPPED


@pytest.mark.parametrize("operation", ["apply", "sweep"])
async def test_target_that_finds_another_container_parks_the_range(
    one: World, operation: str
) -> None:
    recreated = SourceRecreated(expected_rid="old", found_rid="new")
    one.sink.faults.plan(operation, recreated)
    one.container.fill(10)
    one.start("a")
    await one.until(lambda: one.state() is RangeState.SOURCE_RECREATED)
    assert one.counts() == {"a": 1}
    await one.until(one.consistent, within_seconds=10)
    await one.until(lambda: one.state() is RangeState.READING, within_seconds=10)


async def test_recreated_container_and_a_start_from_now_park_too(world: World) -> None:
    await world.once_read(10)
    rows = dict(world.sink.live_rows())
    world.container.recreate()
    world.leases.clear()
    world.start("b", start_from=NOW)
    await world.until(lambda: world.state("0") is RangeState.SOURCE_RECREATED)
    assert world.sink.live_rows() == rows
    await world.stop("b")


async def test_release_that_fails_oddly_does_not_end_the_host(one: World) -> None:
    member = await one.caught_up()
    one.sink.faults.plan("apply", RuntimeError("a bug"))
    member.leases.faults.plan("replace", RuntimeError("a bug"))
    one.container.fill(5)
    await one.until(one.consistent, within_seconds=100)


async def test_stop_while_the_account_is_down_at_the_start(one: World) -> None:
    member = one.member("a")
    member.source.faults.plan("rid", SourceUnavailable("down"), times=None)
    one.start_member(member)
    await one.pass_time(30)
    await one.stop("a", within_seconds=1)


async def test_stop_while_the_map_of_partitions_is_wrong(one: World) -> None:
    await one.caught_up()
    one.container.partitions = []
    await one.pass_time(10)
    await one.stop("a", within_seconds=1)
    assert list(one.leases.leases) == ["0"]


async def test_rebuild_that_fails_is_tried_again(one: World) -> None:
    member = one.member("a", stall_seconds=20.0)
    member.source.faults.plan("read", hang=True, times=2)
    member.source.faults.plan("rebuild", SourceUnavailable("down"))
    one.container.fill(5)
    one.start_member(member)
    await one.until(one.consistent, within_seconds=200)


async def test_host_runs_without_an_observer(one: World) -> None:
    member = one.member("a")
    bare = Host(
        source=member.source,
        leases=member.leases,
        markers=member.markers,
        sink=one.sink,
        sweeper=one.sink,
        options=member.options,
        clock=one.clock,
        draw=random.Random(1),
    )
    member.host = bare
    one.container.fill(5)
    one.start_member(member)
    await one.until(one.consistent)
    assert [report.lease_token for report in bare.reports()] == ["0"]
    await one.stop_all()
    assert bare.ended
    assert list(bare.reports()) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(SinkRefused("no right"), "sink_failed", id="target"),
        pytest.param(ConfigurationError("no right"), "source_failed", id="source"),
    ],
)
async def test_a_mistake_is_told_with_the_side_it_was_made_on(
    one: World, error: ProjectorError, reason: str
) -> None:
    member = await one.caught_up()
    operation = one.sink if isinstance(error, SinkRefused) else member.source
    operation.faults.plan("apply" if isinstance(error, SinkRefused) else "read", error)
    one.container.fill(1)
    await one.until(lambda: (f"released: {reason}", "0") in member.listener.heard)
    await one.until(one.consistent, within_seconds=20)
