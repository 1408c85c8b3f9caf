"""What every case gets: the server, the sizes, and a way to say what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.findings import Report
from benchmarks.target import BenchServer

MOST_REBUILDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is written, in documents; times in seconds.

    Attributes:
        slow: of a way that writes some ten thousand documents per second.
        hundred: of a way that writes row by row and commits after a hundred.
        single: of a way that commits every document.
        dlt_runs: runs of a thousand documents each.
        large, small: rows in the table for the two speeds that are compared.
    """

    apply: int = 50_000
    apply_large_batches: int = 100_000
    slow: int = 10_000
    hundred: int = 3_000
    single: int = 1_000
    dlt: int = 40_000
    dlt_runs: int = 4
    end_to_end: int = 500_000
    end_to_end_small: int = 50_000
    rebuild: int = 1_000_000
    switching: int = 1_000_000
    loop: int = 20_000
    loop_with_totals: int = 3_000
    freshness_seconds: float = 60.0
    freshness_windows: int = 5
    writes_per_second: int = 500
    large: int = 2_000_000
    small: int = 100_000
    large_updates: int = 20_000


QUICK = Sizes(
    apply=4_000,
    apply_large_batches=20_000,
    slow=1_000,
    hundred=1_000,
    single=1_000,
    dlt=4_000,
    dlt_runs=2,
    end_to_end=20_000,
    end_to_end_small=5_000,
    rebuild=40_000,
    switching=20_000,
    loop=5_000,
    loop_with_totals=500,
    freshness_seconds=3.0,
    freshness_windows=1,
    large=40_000,
    small=10_000,
    large_updates=3_000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One run."""

    server: BenchServer
    sizes: Sizes
    rounds: int
    say: Callable[[str], None]

    @property
    def rebuild_rounds(self) -> int:
        """A round of a million documents takes minutes."""
        return min(self.rounds, MOST_REBUILDS)


Case = Callable[[Suite], Awaitable[Report]]
