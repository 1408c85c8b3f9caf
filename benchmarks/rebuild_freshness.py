"""How soon a write is seen in SQL while a generation is filled beside the live one.

One host with default settings serves the live generation; two processes fill another one from the same
container, time after time, as long as a window lasts. Windows with and without it take turns.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack

import psycopg

from benchmarks.account import Account, emulator, running
from benchmarks.documents import Shop
from benchmarks.filling import FILLED, SCHEMA
from benchmarks.findings import Finding, Report, Target, Unit
from benchmarks.freshness import SETTLE_SECONDS, window
from benchmarks.suite import Suite
from benchmarks.target import WrongResult, check_totals
from benchmarks.timing import quantile
from projector.postgres.tables import plain_statements

CONTAINER = "fresh-beside"
SHARE = 5
PROCESSES = 2
P99 = 0.99


class Refilling:
    """Fills the generation again and again, in a thread that waits for the processes."""

    def __init__(self, account: Account, url: str) -> None:
        self._account = account
        self._url = url
        self._stopping = threading.Event()
        self.filled = 0

    def run(self) -> None:
        """Fill until told to stop; the last filling is carried through."""
        while not self._stopping.is_set():
            with psycopg.connect(self._url, autocommit=True) as connection:
                connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE".encode())
                for statement in plain_statements(FILLED):
                    connection.execute(statement.encode())
            with ExitStack() as stack:
                started = [
                    stack.enter_context(running(["-m", "benchmarks.filling", "feed"], settings))
                    for settings in map(self._settings, range(PROCESSES))
                ]
                for one in started:
                    one.wait().expect_success()
            check_totals(self._url, SCHEMA)
            self.filled += 1

    def stop(self) -> None:
        """End after the filling that is under way."""
        self._stopping.set()

    def _settings(self, number: int) -> dict[str, str]:
        run = f"beside-{self.filled}"
        return {
            **self._account.settings(container=CONTAINER, url=self._url, run=run),
            "INSTANCE_NAME": f"{run}-{number}",
        }


async def rebuild_freshness(suite: Suite) -> Report:
    """Windows of steady writes, with and without a filling beside them."""
    sizes, shop = suite.sizes, Shop(8)
    without: list[float] = []
    beside: list[float] = []
    with emulator() as account, suite.server.database() as url:
        account.create(CONTAINER, shop.carts(sizes.rebuild // SHARE))
        settings = account.settings(container=CONTAINER, url=url, run="fresh-beside")
        with running(["-m", "projector", "run"], settings) as host:
            await window(account, url, shop, container=CONTAINER, rate=100, seconds=SETTLE_SECONDS)
            for number in range(sizes.freshness_windows):
                suite.say(f"round {number + 1}: freshness beside a filling")
                without.append(await _tail(suite, account, url, shop))
                refilling = Refilling(account, url)
                filling = asyncio.create_task(asyncio.to_thread(refilling.run))
                beside.append(await _tail(suite, account, url, shop))
                refilling.stop()
                await filling
                if not refilling.filled:
                    raise WrongResult("nothing was filled beside the writes")
            host.stop().expect_success()
        check_totals(url)
    ratio = [a / b for a, b in zip(beside, without, strict=True)]
    measure = f"p99 of freshness at {sizes.writes_per_second} writes/s"
    return Report(
        case="freshness beside a filling",
        findings=[
            Finding(
                measure=f"{measure} while a generation is filled, against without",
                target=Target(must=2.0, stretch=1.5, at_most=True),
                rounds=ratio,
            ),
            Finding(
                measure=f"{measure} while a generation is filled",
                target=Target(must=1000, stretch=500, at_most=True),
                rounds=beside,
                unit=Unit.MILLISECONDS,
            ),
        ],
    )


async def _tail(suite: Suite, account: Account, url: str, shop: Shop) -> float:
    sizes = suite.sizes
    seen = await window(
        account,
        url,
        shop,
        container=CONTAINER,
        rate=sizes.writes_per_second,
        seconds=sizes.freshness_seconds,
    )
    return quantile(seen, P99) * 1000
