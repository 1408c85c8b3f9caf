"""Measures how long keys stay without an owner after a host was killed, and after it was stopped.

`python -m tests.acceptance.hosts_figures` uses the settings of the tests; with `--defaults` those
that a host has when nothing is set. Three hosts, eight partitions, real processes.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from projector.postgres.embedded import EmbeddedPostgres
from projector.postgres.migrate import upgrade
from tests.acceptance.hosts_town import HURRIED, Town
from tests.acceptance.shop import Shop
from tests.acceptance.support import CommandLine, emulator_process, until
from tests.fixtures.postgres import SERVER_OPTIONS

PARTITIONS = 8
PATIENCE_SECONDS = 300.0
NAMES = ("anna", "bert", "carl")


def measured(town: Town, *, ended_by: int) -> float:
    """Seconds from the signal until the others own every key, from a balanced start."""
    for name in NAMES:
        if name not in town.hosts:
            town.start(name)
    until(
        lambda: set(town.owners().values()),
        lambda owners: owners == set(NAMES),
        seconds=PATIENCE_SECONDS,
    )
    town.signal("anna", ended_by)
    seconds = town.until_covered("bert", "carl", seconds=PATIENCE_SECONDS)
    town.hosts.pop("anna").process.wait(PATIENCE_SECONDS)
    return seconds


def main(arguments: Sequence[str]) -> None:
    """Prints one line per signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--defaults", action="store_true")
    parser.add_argument("--times", type=int, default=3)
    chosen = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        town = _town(stack, folder, {} if chosen.defaults else HURRIED)
        for number in (signal.SIGKILL, signal.SIGTERM):
            found = [measured(town, ended_by=number) for _ in range(chosen.times)]
            told = ", ".join(f"{seconds:.1f}" for seconds in sorted(found))
            sys.stdout.write(f"{signal.Signals(number).name} to full coverage: {told} s\n")
            sys.stdout.flush()
        for host in town.hosts.values():
            host.stop()


def _town(stack: ExitStack, folder: Path, hurry: dict[str, str]) -> Town:
    server = stack.enter_context(EmbeddedPostgres(folder / "server", options=SERVER_OPTIONS))
    upgrade(server.url)
    emulator = stack.enter_context(emulator_process(folder, "--partitions", str(PARTITIONS)))
    shop = stack.enter_context(Shop.opened(emulator, server.url))
    shop.create_database()
    settings = {
        "COSMOS_ENDPOINT": emulator.endpoint,
        "COSMOS_KEY": emulator.key,
        "DATABASE_URL": server.url,
        "WEB_PORT": "0",
    }
    command_line = CommandLine(folder=folder, settings=settings)
    return Town(shop=shop, command_line=command_line, stack=stack, hurry=hurry)


if __name__ == "__main__":
    main(sys.argv[1:])
