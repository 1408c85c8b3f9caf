"""Real host processes within milliseconds: a process that has imported everything forks them.

`python -m tests.acceptance.hosts_forge` reads one JSON order per line, runs one host in a child
of its own, waits for its end and answers with one JSON line. It has no threads when it forks.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from projector.ports.filling import Filled
from projector.ports.generations import FillSource
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import Generation
from projector.processor.clock import SystemClock
from projector.projection.carts import CARTS
from projector.settings import Settings
from projector.telemetry.logs import configure_logging
from projector.wiring.filling import filler
from projector.wiring.opening import account
from projector.wiring.service import Service
from tests.acceptance.hosts_killing import Points, Target, install

SECOND = Generation(definition=CARTS, schema="projector_g2", control="projector_g2")
SPEED = 10.0
LIFE_SECONDS = 150
"""A host that takes longer hangs; the alarm ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One host to run until it has caught up.

    Attributes:
        settings: fields of `Settings`.
        log: file for its log.
        point, occurrence: where it dies; None lets it live.
        record: file for the points it reaches.
        fill: fills the second generation from that source, and does nothing else.
    """

    settings: Mapping[str, Any]
    log: str
    point: str | None = None
    occurrence: int = 1
    record: str | None = None
    fill: str | None = None


class HurriedClock:
    """A clock that runs ten times as fast."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self._began = self._real.monotonic()
        self._first = self._real.now()

    def now(self) -> datetime:
        """The time of day."""
        return self._first + timedelta(seconds=self.monotonic() - self._began * SPEED)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._real.monotonic() * SPEED

    async def sleep(self, seconds: float) -> None:
        """Wait a tenth of that."""
        await self._real.sleep(seconds / SPEED)


class Forge:
    """The client of the process that forks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, order: Order) -> int:
        """Runs a host to its end; returns its exit code, negative when a signal ended it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        return int(json.loads(self._process.stdout.readline())["code"])


@contextmanager
def running_forge() -> Iterator[Forge]:
    """A forge for the length of the block."""
    command = [sys.executable, "-m", "tests.acceptance.hosts_forge"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        try:
            yield Forge(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(LIFE_SECONDS + 10)


def main() -> None:
    """Serves orders until standard input ends."""
    for line in sys.stdin:
        order = Order(**json.loads(line))
        child = os.fork()
        if child == 0:
            _be_host(order)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps({"code": os.waitstatus_to_exitcode(status)}) + "\n")
        sys.stdout.flush()


def _be_host(order: Order) -> None:
    """The child's whole life."""
    code = 1
    try:
        with Path(order.log).open("a") as log:
            os.dup2(log.fileno(), 2)
            os.dup2(log.fileno(), 1)
            signal.alarm(LIFE_SECONDS)
            asyncio.run(_run(order))
        code = 0
    except BaseException:  # noqa: BLE001 - reported by the exit code and the log
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


async def _run(order: Order) -> None:
    configure_logging(style="logfmt", level="info")
    target = None
    if order.point is not None:
        target = Target(point=order.point, occurrence=order.occurrence)
    record = None if order.record is None else Path(order.record)
    install(Points(target=target, record=record))
    settings = Settings(**order.settings)
    if order.fill is not None:
        return await _fill(settings, FillSource(order.fill))
    service = Service(settings, clock=HurriedClock())
    await service.run(migrate=False, until_caught_up=True)
    return None


async def _fill(settings: Settings, source: FillSource) -> None:
    clock = HurriedClock()
    assert settings.database_url is not None
    options = ConnectionOptions(
        url=settings.database_url.get_secret_value(), control=SECOND.control
    )

    async def done(_filled: Filled) -> None:
        pass

    async with Connections(options) as opened, account(settings, clock=clock) as reached:
        share = filler(
            settings,
            reached,
            opened,
            generation=SECOND,
            source=source,
            processor_name=settings.processor_name,
            clock=clock,
            done=done,
        )
        await share.run()


if __name__ == "__main__":
    main()
