"""Kills a host or a command at each point of a list, lets a fresh one finish, and compares what SQL says.

`python -m tests.acceptance.hosts_kill_points` does it for every point of every situation, or of those that
are named (`'rebuild promoted'`, or `'rebuild promoted=host,verify'` for the points of these roles alone), and
prints what it found; the test suite takes some of those points that leave a trace outside the process.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from cosmos_emulator import Engine
from projector.postgres.embedded import EmbeddedPostgres
from projector.postgres.migrate import upgrade
from tests.acceptance.hosts_forge import Forge, running_forge
from tests.acceptance.hosts_killing import SENT
from tests.acceptance.hosts_prepared import (
    KILLED,
    Outcome,
    changed,
    changed_and_put_back,
    changed_and_reset,
    first_start,
    prepared,
)
from tests.acceptance.hosts_rebuilding import rebuilding
from tests.fixtures.postgres import SERVER_OPTIONS, database_name, new_database

SITUATIONS: dict[str, Callable[[Engine, str], None]] = {
    "first start": first_start,
    "changed, split and merged": changed,
    "changed, split, merged and reset": changed_and_reset,
    "changed, split, merged and put back": changed_and_put_back,
}


STAGES = (
    "started",
    "filled_from_feed",
    "filled_from_scan",
    "promoted",
    "rolled_back",
    "given_up",
    "dropped",
)


class Play(Protocol):
    """A situation, ready to be played many times."""

    @property
    def folder(self) -> Path:
        """Where its files go."""

    def play(
        self, *, point: str | None = None, occurrence: int = 1, record: Path | None = None
    ) -> Outcome:
        """Runs a process that dies at the point, then a fresh one; without a point just one."""

    def log_tail(self) -> str:
        """The last lines that a process said."""


class Builder(Protocol):
    """Builds a situation."""

    def __call__(
        self, stack: ExitStack, *, forge: Forge, folder: Path, server_url: str, migrated: str
    ) -> Play:
        """On that server, in a database made from a migrated one."""


BUILDERS: dict[str, Builder] = {
    **{name: partial(prepared, change=change) for name, change in SITUATIONS.items()},
    **{f"rebuild {stage}": partial(rebuilding, stage=stage) for stage in STAGES},
}
TRIES = 3
"""A point that needs two ranges to meet may be missed once."""
OF_HISTORY = frozenset({"history", "events", "as it was"})

LEAVES_A_TRACE = (
    "COMMIT",
    "PUT ",
    "POST ",
    "DELETE ",
    "batch in one",
    "ranges.RAISE",
    "ranges.REG",
)
BY_THE_CLOCK = ("renewer", "reporter", "host | reports", "balancer", "caught-up")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """What came of one point."""

    point: str
    died: bool
    differences: tuple[str, ...]


def recorded(situation: Play, name: str) -> tuple[Outcome, list[str]]:
    """A run without a kill: its outcome, and the points it reached, in order of appearance."""
    record = situation.folder / f"{name}.points"
    record.unlink(missing_ok=True)
    outcome = situation.play(record=record)
    assert outcome.code == 0, situation.log_tail()
    return outcome, list(dict.fromkeys(record.read_text().splitlines()))


def that_leave_a_trace(points: Sequence[str]) -> list[str]:
    """Those points that differ for anybody outside; a batch is looked at more closely."""
    chosen = []
    for point in points:
        role, operation, phase = point.split(" | ")
        if point.startswith(BY_THE_CLOCK) or not operation.startswith(LEAVES_A_TRACE):
            continue
        # While the server works on a COMMIT nobody knows how it ends: before and after are
        # covered by it, where the batch itself does not ask for all three.
        if phase == SENT or role == "applier" or operation.startswith(("PUT", "POST", "DELETE")):
            chosen.append(point)
    return chosen


def kill_at(situation: Play, point: str, reference: Outcome) -> Kill:
    """Kills one host there, lets another one finish, compares with the run without a kill."""
    died = False
    found: list[str] = []
    for _ in range(TRIES):
        outcome = situation.play(point=point)
        died = outcome.code == KILLED
        if outcome.code not in {0, KILLED}:
            found.append(f"the host ended with {outcome.code}: {situation.log_tail()}")
        found += _compared(outcome, reference)
        if died or found:
            break
    return Kill(point=point, died=died, differences=tuple(found))


def _compared(outcome: Outcome, reference: Outcome) -> Iterator[str]:
    if outcome.wrong != reference.wrong:
        yield f"against the container: {outcome.wrong}"
    # The history begins when a host finds the copy complete, which may be one run later.
    late = outcome.tables.get("history") != reference.tables.get("history")
    for name, table in reference.tables.items():
        if outcome.tables[name] != table and not (late and name in OF_HISTORY):
            yield f"{name}: {outcome.tables[name]} instead of {table}"


@contextmanager
def ready(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Play]]:
    """Situations on a server of their own."""
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedPostgres(folder / "server", options=SERVER_OPTIONS))
        url = stack.enter_context(new_database(server.url, template="template0"))
        upgrade(url)
        forge = stack.enter_context(running_forge())
        yield {
            name: BUILDERS[name](
                stack,
                forge=forge,
                folder=folder,
                server_url=server.url,
                migrated=database_name(url),
            )
            for name in names
        }


def main(wanted: Sequence[str]) -> int:
    """Kills at every point of the situations; returns how many went wrong."""
    total = failed = 0
    roles = {name: chosen for one in wanted for name, _, chosen in [one.partition("=")]}
    with tempfile.TemporaryDirectory() as folder, ready(Path(folder), list(roles)) as situations:
        for name, situation in situations.items():
            reference, points = recorded(situation, name)
            chosen = [
                one for one in points if not roles[name] or _role(one) in roles[name].split(",")
            ]
            kills = [_told(name, kill_at(situation, point, reference)) for point in chosen]
            died = sum(kill.died for kill in kills)
            total, failed = total + died, failed + sum(bool(kill.differences) for kill in kills)
            _say(f"{name}: {len(chosen)} of {len(points)} points, {died} kills")
    _say(f"{total} kills, {failed} of them with another end than a run without a kill")
    return failed


def _role(point: str) -> str:
    return point.split(" | ", maxsplit=1)[0]


def _told(name: str, kill: Kill) -> Kill:
    if kill.differences or not kill.died:
        _say(f"{name} | {kill.point} | {kill.differences or 'not reached again'}")
    return kill


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(BUILDERS)))
