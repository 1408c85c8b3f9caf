"""Thirty random histories of carts and ten of orders, each replayable by its seed.

`make soak SEEDS=n` plays more. See `tests/simulation`: real processor, sink and PostgreSQL, the emulator in
process, faults and crashes between any two calls, in virtual time.
"""

from __future__ import annotations

import pytest

from tests.simulation.__main__ import play_clean
from tests.simulation.database import forget, prepare
from tests.simulation.trade import TRADES

SEEDS_PER_TEST = 10


@pytest.mark.parametrize(
    ("trade", "first"),
    [
        *(("carts", first) for first in range(0, 30, SEEDS_PER_TEST)),
        *(("orders", first) for first in range(0, 10, SEEDS_PER_TEST)),
    ],
)
def test_sql_equals_the_container_after_any_history(
    database_url: str, trade: str, first: int
) -> None:
    about = TRADES[trade]
    prepare(database_url, about)
    found = [
        play_clean(database_url, seed, turns=60, trade=about)
        for seed in range(first, first + SEEDS_PER_TEST)
    ]

    forget(database_url)
    assert [divergence for divergence in found if divergence] == []
