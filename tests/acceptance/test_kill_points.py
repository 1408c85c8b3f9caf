"""A host killed with SIGKILL at every step that leaves a trace; a fresh host makes it good.

The steps are not listed by hand: a run without a kill tells them, so that a new statement is a
new test. `tests/acceptance/hosts_kill_points.py` knows how; run as a program it takes every
single request and statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from projector.postgres.history import KINDS
from tests.acceptance.hosts_forge import Forge, running_forge
from tests.acceptance.hosts_kill_points import SITUATIONS, kill_at, recorded, that_leave_a_trace
from tests.acceptance.hosts_prepared import Outcome, Situation, prepared

RICHEST = "changed, split, merged and reset"
MISSED_AT_MOST = 0.2
"""Points at which two ranges must meet in a certain order may be missed; most may not."""


@dataclass(kw_only=True)
class Stage:
    """Situations, each built when it is first asked for."""

    stack: ExitStack
    forge: Forge
    folder: Path
    server_url: str
    migrated: str
    _ready: dict[str, tuple[Situation, Outcome, list[str]]] = field(default_factory=dict)

    def situation(self, name: str) -> tuple[Situation, Outcome, list[str]]:
        """The situation, how a run without a kill ends, and the points it reaches."""
        if name not in self._ready:
            situation = prepared(
                self.stack,
                forge=self.forge,
                folder=self.folder,
                server_url=self.server_url,
                migrated=self.migrated,
                change=SITUATIONS[name],
            )
            self._ready[name] = (situation, *recorded(situation, name))
        return self._ready[name]


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server_url: str, migrated_template: str
) -> Iterator[Stage]:
    """What all kills share."""
    with ExitStack() as stack:
        yield Stage(
            stack=stack,
            forge=stack.enter_context(running_forge()),
            folder=tmp_path_factory.mktemp("kills"),
            server_url=postgres_server_url,
            migrated=migrated_template,
        )


def kill_at_each(stage: Stage, name: str, *roles: str) -> None:
    situation, reference, points = stage.situation(name)
    chosen = [point for point in that_leave_a_trace(points) if point.startswith(roles)]
    assert chosen, f"no points of {roles} among {points}"
    kills = [kill_at(situation, point, reference) for point in chosen]
    wrong = {kill.point: kill.differences for kill in kills if kill.differences}
    assert wrong == {}
    missed = [kill.point for kill in kills if not kill.died]
    assert len(missed) <= MISSED_AT_MOST * len(kills), missed


def test_killed_while_a_batch_is_committed(stage: Stage) -> None:
    kill_at_each(stage, RICHEST, "applier |")


def test_killed_while_a_lease_is_acquired_bookmarked_or_released(stage: Stage) -> None:
    kill_at_each(stage, RICHEST, "acquire |", "checkpointer |", "supervisor |")


def test_killed_while_a_range_is_opened_replayed_split_or_merged(stage: Stage) -> None:
    kill_at_each(stage, RICHEST, "server |")


def test_killed_while_a_replay_is_swept(stage: Stage) -> None:
    kill_at_each(stage, RICHEST, "sweeper |")


def test_killed_without_a_replay_that_would_mend_it(stage: Stage) -> None:
    situation, reference, points = stage.situation("changed, split and merged")
    commits = [p for p in points if p.startswith(("server | COMMIT", "applier | COMMIT"))]
    chosen = [p for p in commits if p.endswith("sent") or p.startswith("applier")]
    kills = [kill_at(situation, point, reference) for point in chosen]
    assert {kill.point: kill.differences for kill in kills if kill.differences} == {}


def test_killed_while_leases_are_made_for_the_first_time(stage: Stage) -> None:
    kill_at_each(stage, "first start", "host |", "server | ranges.REG")


def test_a_run_without_a_kill_equals_the_container(stage: Stage) -> None:
    _, reference, _ = stage.situation(RICHEST)
    assert reference.wrong == ("missing ('cart-3', 'refused')",)  # what this database refuses
    assert len(reference.tables["quarantine"]) == 3
    assert reference.tables["open replays"] == ["(0,)"]
    assert {"changed", "removed_by_sweep", "removed_by_rejection"} <= kinds_of(reference)
    assert reference.tables["as it was"]
    assert reference.tables["left of sweeps"] == ["(0,)"]


def kinds_of(reference: Outcome) -> set[str]:
    """What happened since the first load, by its kind: a kill doubles none of it and loses none."""
    return {kind for row in reference.tables["events"] for kind in KINDS.values() if kind in row}
