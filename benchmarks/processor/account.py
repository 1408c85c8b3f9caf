"""An emulator process, a container filled over the wire, and hosts as processes of their own.

Hosts run the service's processor with a target that keeps nothing, so that no PostgreSQL is in
the figures: they read and bookmark. `python -m benchmarks.processor.account` with settings in the environment is one host.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from projector.changefeed import ChangeContext, CosmosContainer
from projector.changefeed.handler_sink import HandlerSink, opened
from projector.core.names import InstanceName
from projector.processor.clock import SystemClock
from projector.processor.host import Host
from projector.processor.options import ProcessorOptions

ROOT = Path(__file__).parents[2]
DATABASE = "shop"
NAME = "figures"
STOP_SECONDS = 30.0


@dataclass(slots=True, kw_only=True)
class Account:
    """A running emulator with an empty container and the hosts that read it."""

    endpoint: str
    key: str
    hosts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def container(self, name: str) -> CosmosContainer:
        """One of the two containers, `cart` or `lease`."""
        return CosmosContainer(
            endpoint=self.endpoint, key=self.key, database=DATABASE, container=name
        )

    def operations(self) -> dict[str, dict[str, float]]:
        """Requests and request units so far, by operation."""
        with urllib.request.urlopen(f"{self.endpoint}_emulator/stats") as answer:  # noqa: S310 - loopback
            counted: dict[str, dict[str, float]] = json.load(answer)["operations"]
        return counted

    def start_host(self, name: str, *, poll_max_seconds: float = 1.0) -> None:
        """One more process at default settings but for the slowest polling."""
        surroundings = os.environ | {
            "FIGURES_ENDPOINT": self.endpoint,
            "FIGURES_KEY": self.key,
            "FIGURES_HOST": name,
            "FIGURES_POLL": str(poll_max_seconds),
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "benchmarks.processor.account"]
        self.hosts[name] = subprocess.Popen(command, env=surroundings, cwd=ROOT)

    def signal_host(self, name: str, number: int) -> None:
        """Send a signal; the host is not waited for."""
        self.hosts[name].send_signal(number)

    def end(self) -> None:
        """Kill what still runs."""
        for process in self.hosts.values():
            if process.poll() is None:
                process.kill()
            process.wait()


@contextmanager
def running_account(*, partitions: int) -> Iterator[Account]:
    """An emulator process of that many partitions until the block ends."""
    command = [sys.executable, "-m", "projector", "emulator", "--port", "0"]
    with (
        tempfile.TemporaryDirectory(prefix="figures-") as folder,
        subprocess.Popen(
            [*command, "--partitions", str(partitions)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        ) as emulator,
    ):
        account = _announced(emulator)
        try:
            yield account
        finally:
            account.end()
            emulator.send_signal(signal.SIGTERM)
            emulator.wait(STOP_SECONDS)


def _announced(emulator: subprocess.Popen[str]) -> Account:
    said: dict[str, str] = {}
    for line in emulator.stdout or ():
        name, _, value = line.strip().partition(" ")
        said[name] = value
        if name == "ready":
            break
    return Account(endpoint=said["endpoint"], key=said["key"])


async def until(holds: Callable[[], Any], *, seconds: float, every: float = 0.1) -> None:
    """Wait until the awaited answer is true. Raises: TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(every)


async def serve() -> None:
    """One host until SIGTERM, with the options of `projector run` at its default settings."""

    async def handle(changes: Sequence[Any], _: ChangeContext) -> None:
        """Nothing: the figures are the processor's."""

    async def bookmark(*_: object) -> None:
        """Bookmarks are automatic."""

    account = Account(endpoint=os.environ["FIGURES_ENDPOINT"], key=os.environ["FIGURES_KEY"])
    options = ProcessorOptions(
        processor_name=NAME,
        instance_name=InstanceName(os.environ["FIGURES_HOST"]),
        poll_max_seconds=float(os.environ["FIGURES_POLL"]),
    )
    clock = SystemClock()
    async with opened(
        account.container("cart"), account.container("lease"), processor_name=NAME, clock=clock
    ) as adapters:
        sink = HandlerSink(handler=handle, decoder=None, bookmark=bookmark)
        host = Host(
            source=adapters.source,
            leases=adapters.leases,
            markers=adapters.markers,
            sink=sink,
            sweeper=sink,
            options=options,
            clock=clock,
            draw=random.Random(),
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, host.request_stop)
        await host.run()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(serve())
