"""Where the time of one document goes: `python -m benchmarks.profile [--documents N] [--batch N]`.

Client steps are timed one by one, in CPU time of the thread. Server steps are found by leaving parts
out: the real statements are run whole and with parts cut away, batch by batch in turn, each on tables
of its own, and the CPU time of the server process is compared. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from benchmarks.profile_client import client_steps
from benchmarks.profile_server import server_steps
from benchmarks.target import bench_server

DOCUMENTS = 60_000
BATCH = 2000


async def run(documents: int, batch: int) -> None:
    """Measure both sides; print what each step costs."""
    with bench_server() as server:
        print(f"Batches of {batch:,}; CPU time in microseconds per document.\n")
        show(("client", "µs"), await client_steps(documents, batch))
        steps = await server_steps(server, documents, batch)
        show(("server", "new: copied", "changed: upserted", "unchanged: looked at"), steps)


def show(head: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> None:
    """Print one table."""
    print(f"| {' | '.join(head)} |")
    print(f"|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(_cell, row))} |")
    print()


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.2f}"


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--batch", type=int, default=BATCH)
    options = parser.parse_args()
    asyncio.run(run(options.documents, options.batch))


if __name__ == "__main__":
    main()
