"""A process that fills a generation, killed at every step that leaves a trace; a fresh one makes it good.

In a container that was split and merged since the parts were begun. `hosts_kill_points` takes every single
request and statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from projector.ports.generations import FillSource
from tests.acceptance.hosts_filling import Filling, half_filled
from tests.acceptance.hosts_forge import running_forge
from tests.acceptance.hosts_kill_points import kill_at, recorded, that_leave_a_trace

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

ROLES = {"feed": ("fill |", "host |"), "scan": ("fill |",)}
"""What is done when all is loaded is the same for both sources."""


@pytest.fixture(scope="module", params=list(FillSource), ids=str)
def filling(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server_url: str,
    migrated_template: str,
) -> Iterator[Filling]:
    """A generation that is filled in part, from either source."""
    with ExitStack() as stack:
        yield half_filled(
            stack,
            forge=stack.enter_context(running_forge()),
            folder=tmp_path_factory.mktemp("fills"),
            server_url=postgres_server_url,
            migrated=migrated_template,
            source=request.param,
        )


def test_killed_while_parts_are_loaded_and_the_generation_is_finished(filling: Filling) -> None:
    reference, points = recorded(filling, filling.source)
    assert reference.wrong == ("row ('cart-3', 'refused')",)  # what this database refuses
    assert len(reference.tables["quarantine"]) == 3
    assert len(reference.tables["leases"]) == len(reference.tables["ranges"]) + 1
    chosen = [one for one in that_leave_a_trace(points) if one.startswith(ROLES[filling.source])]
    kills = [kill_at(filling, point, reference) for point in chosen]
    assert len([kill for kill in kills if kill.died]) >= 3
    assert {kill.point: kill.differences for kill in kills if kill.differences} == {}
