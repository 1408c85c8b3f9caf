"""Real host processes within milliseconds: a process that has imported everything forks them.

`python -m tests.acceptance.hosts_forge` reads one JSON order per line, runs one host or one command in
a child of its own, waits for its end and answers with one JSON line. It has no threads when it forks.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

import projector.cli.rebuild
from projector.cli.app import run_line
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.telemetry.logs import configure_logging
from projector.wiring.service import Service
from tests.acceptance.hosts_killing import Points, Target, install

SPEED = 10.0
COMMAND_SPEED = 3.0
"""A comparison gives up on a host that stands still for seconds of its clock."""

LOOK_SECONDS = 0.05
LIFE_SECONDS = 150
"""A host that takes longer hangs; the alarm ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One host to run until it has caught up, or one command.

    Attributes:
        settings: fields of `Settings`.
        log: file for its log.
        point, occurrence: where it dies; None lets it live.
        record: file for the points it reaches.
        until: a query; the host is no job, and is stopped once this is true.
        command: what is typed after `projector`, in place of a host.
    """

    settings: Mapping[str, Any]
    log: str
    point: str | None = None
    occurrence: int = 1
    record: str | None = None
    until: str | None = None
    command: Sequence[str] = ()


class HurriedClock:
    """A clock that runs several times as fast."""

    def __init__(self, speed: float = SPEED) -> None:
        self._speed = speed
        self._real = SystemClock()
        self._began = self._real.monotonic()
        self._first = self._real.now()

    def now(self) -> datetime:
        """The time of day."""
        return self._first + timedelta(seconds=self.monotonic() - self._began * self._speed)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._real.monotonic() * self._speed

    async def sleep(self, seconds: float) -> None:
        """Wait a fraction of that."""
        await self._real.sleep(seconds / self._speed)


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
            code = _live(order)
    except BaseException:  # noqa: BLE001 - reported by the exit code and the log
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _live(order: Order) -> int:
    target = None
    if order.point is not None:
        target = Target(point=order.point, occurrence=order.occurrence)
    record = None if order.record is None else Path(order.record)
    install(Points(target=target, record=record))
    if order.command:
        return _type(order)
    asyncio.run(_serve(order))
    return 0


def _type(order: Order) -> int:
    """A command as it is typed, but for the clock."""
    for name, value in order.settings.items():
        os.environ[f"PROJECTOR_{name.upper()}"] = str(value)
    setattr(projector.cli.rebuild, "SystemClock", partial(HurriedClock, COMMAND_SPEED))  # noqa: B010 - mypy takes classes for constants
    return run_line(order.command)


async def _serve(order: Order) -> None:
    configure_logging(style="logfmt", level="info")
    service = Service(Settings(**order.settings), clock=HurriedClock())
    if order.until is None:
        await service.run(migrate=False, until_caught_up=True)
        return
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(service.run(migrate=False), name="host")
        await _until(order.until, order.settings["database_url"], serving)
        service.request_stop()


async def _until(query: str, url: str, serving: asyncio.Task[Any]) -> None:
    """By a session that nobody watches."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while not serving.done():
            found = await (await connection.execute(query.encode())).fetchone()
            if found is not None and found[0]:
                return
            await asyncio.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
