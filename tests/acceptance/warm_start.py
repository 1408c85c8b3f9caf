"""Commands as real processes without the second that each of them would spend on imports.

`python -m tests.acceptance.warm_start FD` has imported what the commands need and forks: for each order that
comes through the socket a keeper, and from it the command, in the folder and with the surroundings and
outputs it was told. The keeper tells its number and, when it has ended, how. No thread runs at a fork.

A command that starts as a user starts it, cold, is `CommandLine.process`.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
NUMBER_BYTES = 8
DESCRIPTORS = 4
"""Standard input, output and error, and the line to whoever ordered it."""


class WarmStart:
    """The process that forks, seen from the tests."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.acceptance.warm_start", str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._line = ours

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        folder: Path,
        surroundings: Mapping[str, str],
    ) -> WarmProcess:
        """Starts `python -m module arguments` there; both outputs come through pipes."""
        order = json.dumps([module, list(arguments), str(folder), dict(surroundings)]).encode()
        (out, their_out), (err, their_err) = os.pipe(), os.pipe()
        line, their_line = socket.socketpair()
        nothing = os.open(os.devnull, os.O_RDONLY)
        theirs = [nothing, their_out, their_err, their_line.detach()]
        socket.send_fds(self._line, [_written(len(order))], theirs)
        self._line.sendall(order)
        for descriptor in theirs:
            os.close(descriptor)
        return WarmProcess(line, stdout=os.fdopen(out), stderr=os.fdopen(err))

    def end(self) -> None:
        """Nobody orders any more."""
        self._line.close()
        self._process.wait()


class WarmProcess:
    """A command that was forked; as `subprocess.Popen` where tests look."""

    def __init__(self, line: socket.socket, *, stdout: IO[str], stderr: IO[str]) -> None:
        self.stdout, self.stderr = stdout, stderr
        self._line = line
        self._code: int | None = None
        self.pid = _read(line.recv(NUMBER_BYTES))

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        return self._ended(within=0.0)

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, as soon as it has."""
        code = self._ended(within=timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Sends it a signal unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, *, within: float | None) -> int | None:
        if self._code is None and select.select([self._line], [], [], within)[0]:
            self._code = _read(self._line.recv(NUMBER_BYTES))
            self._line.close()
        return self._code


def _written(number: int) -> bytes:
    return number.to_bytes(NUMBER_BYTES, "big", signed=True)


def _read(number: bytes) -> int:
    return int.from_bytes(number, "big", signed=True)


@functools.cache
def warm_start() -> WarmStart:
    """The one of this process, started at the first call."""
    started = WarmStart()
    atexit.register(started.end)
    return started


def _serve(orders: socket.socket) -> None:
    """Forks a keeper for each order until nobody is left to send any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; who ordered ends what he began
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are not waited for
    while True:
        size, descriptors, _, _ = socket.recv_fds(orders, NUMBER_BYTES, DESCRIPTORS)
        if not size:
            return
        order = b""
        while missing := _read(size) - len(order):
            order += orders.recv(missing)
        if os.fork() == 0:
            orders.close()
            _keep(json.loads(order), descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _keep(order: tuple[str, list[str], str, dict[str, str]], descriptors: list[int]) -> None:
    """The keeper's whole life; returns in the command, when that has ended well."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *standard, line = descriptors
    child = os.fork()
    if child == 0:
        os.close(line)
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
            os.close(descriptor)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return _be(*order)
    for descriptor in standard:
        os.close(descriptor)
    told = socket.socket(fileno=line)
    with suppress(OSError):  # who ordered it may be gone
        told.sendall(_written(child))
        _, status = os.waitpid(child, 0)
        told.sendall(_written(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _be(module: str, arguments: list[str], folder: str, surroundings: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(surroundings)
    sys.stdout, sys.stderr = (_written_through(number) for number in (1, 2))
    sys.path[0] = folder
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _written_through(number: int) -> IO[str]:
    """As Python opens it under PYTHONUNBUFFERED; ours may be a file, this is a pipe."""
    return io.TextIOWrapper(io.FileIO(number, "w", closefd=False), write_through=True)


def _import_all() -> None:
    """What the commands import when they are called."""
    commands = importlib.import_module("projector.cli")
    for command in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"projector.cli.{command.name}")
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _import_all()
    _serve(socket.socket(fileno=int(sys.argv[1])))
