"""A hundred random histories, each replayable by its seed; `make soak SEEDS=n` plays more.

See `tests/simulation`: real processor, sink and PostgreSQL, the emulator in process, faults and
crashes between any two calls, in virtual time.
"""

from __future__ import annotations

import pytest

from tests.simulation.__main__ import play_clean

SEEDS_PER_TEST = 10


@pytest.mark.parametrize("first", range(0, 100, SEEDS_PER_TEST))
def test_sql_equals_the_container_after_any_history(database_url: str, first: int) -> None:
    found = [
        play_clean(database_url, seed, turns=60) for seed in range(first, first + SEEDS_PER_TEST)
    ]

    assert [divergence for divergence in found if divergence] == []
