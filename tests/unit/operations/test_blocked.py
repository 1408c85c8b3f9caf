from __future__ import annotations

from projector.operations.blocked import FORGOTTEN_SECONDS, Blockers
from projector.ports.copy import Blocker

ANA = ("ana", "psql")


def by(pid: int, waited_seconds: float) -> Blocker:
    return Blocker(
        pid=pid, role="ana", application="psql", waiting=1, waited_seconds=waited_seconds
    )


def test_a_wait_that_is_begun_anew_goes_on() -> None:
    blockers = Blockers()
    blockers.look([by(7, 3.0)], at=10.0)
    blockers.look([], at=20.0)  # between two attempts
    blockers.look([by(7, 1.0)], at=30.0)
    assert blockers.seconds() == {ANA: 23.0}


def test_who_is_not_met_any_more_is_forgotten() -> None:
    blockers = Blockers()
    blockers.look([by(7, 3.0)], at=10.0)
    blockers.look([], at=10.0 + FORGOTTEN_SECONDS + 1)
    assert blockers.seconds() == {}


def test_the_longest_wait_of_several_sessions_of_one_program_counts() -> None:
    blockers = Blockers()
    blockers.look([by(7, 3.0), by(8, 5.0)], at=10.0)
    assert blockers.seconds() == {ANA: 5.0}
