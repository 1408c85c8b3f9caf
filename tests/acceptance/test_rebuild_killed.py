"""Rebuilds that are killed where it hurts most; a fresh host, or the command typed again, makes it good.

The other steps, and those of promoting, going back, giving up and dropping, are taken by `hosts_kill_points`,
which takes every single request and statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.acceptance.hosts_forge import running_forge
from tests.acceptance.hosts_kill_points import kill_at, recorded
from tests.acceptance.hosts_prepared import Outcome
from tests.acceptance.hosts_rebuilding import Rebuilding, Stages


@pytest.fixture(scope="module")
def stages(
    tmp_path_factory: pytest.TempPathFactory, postgres_server_url: str, migrated_template: str
) -> Iterator[Stages]:
    """The life of a rebuild."""
    with ExitStack() as stack:
        yield Stages(
            stack,
            forge=stack.enter_context(running_forge()),
            folder=tmp_path_factory.mktemp("rebuilds"),
            server_url=postgres_server_url,
            migrated=migrated_template,
        )


def kill_while(stage: Rebuilding, name: str, *points: str) -> Outcome:
    """Kills at the first point of each beginning; returns how a run without a kill ends."""
    reference, reached = recorded(stage, name)
    for begun in points:
        point = next(one for one in reached if one.startswith(begun) and one.endswith("sent"))
        kill = kill_at(stage, point, reference)
        assert (kill.died, kill.differences) == (True, ()), point
    return reference


def test_the_command_that_starts_one(stages: Stages) -> None:
    reference = kill_while(stages.started, "start", "host | COMMIT after SELECT pg_notify")
    assert reference.tables["told"] == ["('rebuild_started', '2')"]


def test_a_host_that_fills_one_beside_the_live_one(stages: Stages) -> None:
    points = "fill | COMMIT after filling.CHILD", "generation | finishing.PLACE"
    reference = kill_while(stages.filled_from_feed, "fill", *points)
    second = [one for one in reference.wrong if one.startswith("second")]
    assert second == ["second: ('cart-3', 'refused')"]  # what this database refuses
