"""Plays many seeds: `python -m tests.simulation --seeds 1000 [--first 0] [--turns 60]`.

Each seed replays exactly; a divergence is printed with its story, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psycopg
import structlog

from projector.postgres.embedded import EmbeddedPostgres
from projector.postgres.migrate import upgrade
from tests.fixtures.postgres import SERVER_OPTIONS
from tests.simulation.database import empty, prepare
from tests.simulation.history import Divergence, play
from tests.simulation.trade import CART_LINES, TRADES, Trade

CHUNK = 20


def main() -> int:
    """Parse, play, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--trade", choices=TRADES, default="carts")
    parser.add_argument("--rebuilds", type=float, default=1.0, help="weigh turns of rebuilds")
    parser.add_argument("--story", action="store_true", help="print the story of every seed")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", options=SERVER_OPTIONS)
        with server:
            found, done = _play_all(server, options)
        server.remove()
    seconds = time.monotonic() - began
    print(f"{options.seeds} seeds, {len(found)} divergences, {seconds:.0f} s")  # noqa: T201
    print(", ".join(f"{name}: {count}" for name, count in done.most_common()))  # noqa: T201
    return 1 if found else 0


def _play_all(
    server: EmbeddedPostgres, options: argparse.Namespace
) -> tuple[list[Divergence], Counter[str]]:
    seeds = range(options.first, options.first + options.seeds)
    chunks = [seeds[i : i + CHUNK] for i in range(0, len(seeds), CHUNK)]
    urls = [_database(server, number, TRADES[options.trade]) for number in range(options.processes)]
    found: list[Divergence] = []
    done: Counter[str] = Counter()
    with ProcessPoolExecutor(options.processes, initializer=_quiet) as pool:
        running = [
            pool.submit(_play_chunks, url, chunks[number :: options.processes], options)
            for number, url in enumerate(urls)
        ]
        for future in running:
            divergences, counted = future.result()
            found += divergences
            done += counted
    return found, done


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)


def _play_chunks(
    url: str, chunks: Sequence[range], options: argparse.Namespace
) -> tuple[list[Divergence], Counter[str]]:
    """Play seeds; tell of each divergence at once, for a long run may be cut short."""
    divergences, done = [], Counter[str]()
    for seed in _flat(chunks):
        found = play_clean(
            url,
            seed,
            turns=options.turns,
            trade=TRADES[options.trade],
            rebuilds=options.rebuilds,
            done=done,
        )
        if found is not None:
            _tell(found)
            divergences.append(found)
    return divergences, done


def _flat(chunks: Sequence[range]) -> Iterator[int]:
    for chunk in chunks:
        yield from chunk
        print(f"seeds up to {chunk[-1]} done", file=sys.stderr, flush=True)  # noqa: T201


def play_clean(
    url: str,
    seed: int,
    *,
    turns: int,
    trade: Trade = CART_LINES,
    rebuilds: float = 1.0,
    done: Counter[str] | None = None,
) -> Divergence | None:
    """Play one seed on the emptied database."""
    empty(url)
    return play(seed, url, turns=turns, trade=trade, rebuilds=rebuilds, done=done)


def _database(server: EmbeddedPostgres, number: int, trade: Trade) -> str:
    name = f"simulation_{number}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = server.url_of(name)
    upgrade(url)
    prepare(url, trade)
    return url


def _tell(divergence: Divergence) -> None:
    lines = (*divergence.story, *divergence.wrong)
    head = f"--- seed {divergence.seed}, {divergence.phase}"
    print("\n    ".join((head, *lines)), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
