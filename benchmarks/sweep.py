"""How long a replay's sweep takes: `python -m benchmarks.sweep [--documents N] [--vanished M]`.

A container is copied, M documents are deleted outright, the leases are reset, and a host replays
until caught up. The sweep of each range is timed by itself: finding the candidates, a point read
for each over HTTP, and the verdicts with their totals. Rows and totals are checked afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from unittest import mock

from azure.cosmos.aio import CosmosClient
from typing_extensions import override

from benchmarks.account import DATABASE, Account, emulator, running
from benchmarks.documents import Document, Shop
from benchmarks.target import bench_server, check_rows, check_totals
from projector.ports.feed import Grant
from projector.ports.rows import Mended
from projector.reconcile.sweep import Sweeper
from projector.settings import Settings
from projector.wiring import service

CONTAINER = "cart"
DELETES_AT_ONCE = 32
RUN = "sweep"


class TimedSweeper(Sweeper):
    """Notes how long each sweep took, in seconds, and what it removed."""

    taken: list[tuple[float, int]]

    @override
    async def sweep(self, grant: Grant, *, session_token: str | None) -> Mended:
        began = time.perf_counter()
        done = await super().sweep(grant, session_token=session_token)
        self.taken.append((time.perf_counter() - began, done.removed))
        return done


def main() -> int:
    """Parse, measure, tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep")
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--vanished", type=int, default=10_000)
    options = parser.parse_args()
    shop = Shop()
    documents = shop.carts(options.documents)
    vanished = documents[:: max(1, options.documents // options.vanished)][: options.vanished]
    with bench_server() as server, emulator() as account, server.database() as url:
        account.create(CONTAINER, documents)
        _say(f"copy {len(documents):,} documents")
        settings = account.settings(container=CONTAINER, url=url, run=RUN)
        first = _host(settings)
        asyncio.run(_delete(account, vanished))
        with running(["-m", "projector", "leases", "reset", "--yes"], settings) as process:
            process.wait().expect_success()
        second = _host(settings)
        check_rows(url, "carts.cart_items", len(documents) - len(vanished))
        check_totals(url)
    _tell(first, second)
    return 0


def _host(settings: dict[str, str]) -> tuple[float, list[tuple[float, int]]]:
    """One host until caught up: seconds of the whole, and its sweeps."""
    TimedSweeper.taken = []
    chosen = Settings.model_validate({name.lower(): value for name, value in settings.items()})
    began = time.perf_counter()
    with mock.patch.object(service, "Sweeper", TimedSweeper):
        asyncio.run(service.Service(chosen).run(until_caught_up=True))
    return time.perf_counter() - began, list(TimedSweeper.taken)


async def _delete(account: Account, documents: Sequence[Document]) -> None:
    _say(f"delete {len(documents):,} documents outright")
    room = asyncio.Semaphore(DELETES_AT_ONCE)
    async with CosmosClient(account.endpoint, account.key) as client:
        container = client.get_database_client(DATABASE).get_container_client(CONTAINER)

        async def one(document: Document) -> None:
            async with room:
                await container.delete_item(document["id"], document["cartId"])

        async with asyncio.TaskGroup() as group:
            for document in documents:
                group.create_task(one(document))


def _tell(
    first: tuple[float, list[tuple[float, int]]], second: tuple[float, list[tuple[float, int]]]
) -> None:
    removed = sum(count for _, count in second[1])
    _say(f"first copy, with sweeps that find nothing: {first[0]:.1f} s")
    _say(f"replay with sweeps: {second[0]:.1f} s")
    _say(f"sweeps: {removed:,} rows removed, {sum(s for s, _ in second[1]):.1f} s of work in all")
    for seconds, count in second[1]:
        _say(f"  one range: {count:,} rows in {seconds:.1f} s")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
