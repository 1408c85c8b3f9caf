"""The product as its user meets it: the real command line as processes, HTTP, SQL and a deadline.

Nothing here knows the inside of the program. Waiting always means: until something is true, or a
deadline passes and the test says what it saw last.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, TypeVar

from tests.acceptance.warm_start import WarmProcess, warm_start

T = TypeVar("T")
PATIENCE_SECONDS = 180.0
POLL_SECONDS = 0.05
SUMMARY = re.compile(
    r"(\d+) documents delivered: (\d+) upserted, (\d+) removed, (\d+) unchanged, (\d+) rejected"
)


def until(
    read: Callable[[], T], accept: Callable[[T], bool], *, seconds: float = PATIENCE_SECONDS
) -> T:
    """Reads again and again until the value is accepted; fails with the last one seen."""
    deadline = time.monotonic() + seconds
    while True:
        value = read()
        if accept(value):
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s; the last value was {value!r}")
        threading.Event().wait(POLL_SECONDS)


def until_equal(
    read: Callable[[], object], expected: object, *, seconds: float = PATIENCE_SECONDS
) -> None:
    """Waits until the value read equals the expected one."""
    until(read, lambda value: value == expected, seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a process left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def summary(self) -> dict[str, int]:
        """The counts a run prints when it ends."""
        found = SUMMARY.findall(self.stdout)
        assert len(found) == 1, f"no summary in {self.stdout!r}, {self.stderr!r}"
        return dict(
            zip(
                ("delivered", "upserted", "removed", "unchanged", "rejected"),
                map(int, found[0]),
                strict=True,
            )
        )

    @property
    def error_line(self) -> str:
        """The one line on standard error that begins with `error:`."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("error:")]
        assert len(lines) == 1, self.stderr
        assert "Traceback" not in self.stderr
        return lines[0]


class Running:
    """A process under way; its output is collected as it comes."""

    def __init__(self, process: subprocess.Popen[str] | WarmProcess) -> None:
        """Start to read both outputs."""
        self.process = process
        self._texts: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._readers = [self._collect(name) for name in self._texts]

    @property
    def stdout(self) -> str:
        """Standard output so far."""
        return "".join(self._texts["stdout"])

    @property
    def stderr(self) -> str:
        """Standard error so far."""
        return "".join(self._texts["stderr"])

    def says(self, pattern: str, *, seconds: float = PATIENCE_SECONDS) -> re.Match[str]:
        """Waits until either output matches."""

        def look() -> re.Match[str] | None:
            if self.process.poll() is not None:
                self._join()
            return re.search(pattern, self.stdout + self.stderr, re.MULTILINE)

        found = until(
            look,
            lambda match: match is not None or self.process.poll() is not None,
            seconds=seconds,
        )
        found = found or look()
        assert found is not None, f"{pattern!r} was never said, only:\n{self.stdout}{self.stderr}"
        return found

    def stop(self, number: int = signal.SIGTERM) -> Finished:
        """Sends a signal, waits for the end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.finish()

    def finish(self, *, seconds: float = PATIENCE_SECONDS) -> Finished:
        """Waits for the end by itself."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self._join()
            raise AssertionError(
                f"still running after {seconds:g} s:\n{self.stdout}{self.stderr}"
            ) from None
        self._join()
        return Finished(code=code, stdout=self.stdout, stderr=self.stderr)

    def _collect(self, name: str) -> threading.Thread:
        stream: IO[str] = getattr(self.process, name)

        def read() -> None:
            with stream:
                for line in stream:
                    self._texts[name].append(line)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread

    def _join(self) -> None:
        for reader in self._readers:
            reader.join(PATIENCE_SECONDS)


def in_a_terminal(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    columns: int = 80,
    lines: int = 24,
) -> tuple[int, str]:
    """Runs a command on a terminal of its own; returns its exit code and all that it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PROJECTOR_", "LC_"))}
    process = subprocess.Popen(
        list(command),
        cwd=folder,
        env={**inherited, **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    with suppress(OSError), open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123 - a descriptor
        while piece := terminal.read(65_536):
            written += piece
    return process.wait(PATIENCE_SECONDS), written.decode("utf-8", "backslashreplace")


@dataclass(kw_only=True)
class CommandLine:
    """`python -m projector` in a folder of its own, with nothing but the given settings."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    module: str = "projector"

    def of_release(self, module: str) -> CommandLine:
        """The same of another program."""
        return replace(self, module=module)

    def with_settings(self, **settings: str) -> CommandLine:
        """The same with other settings."""
        return replace(self, settings={**self.settings, **settings})

    def without(self, *names: str) -> CommandLine:
        """The same without some settings."""
        kept = {name: value for name, value in self.settings.items() if name not in names}
        return replace(self, settings=kept)

    def start(self, *arguments: str) -> Running:
        """Starts a command, warm: a real process that need not import what others have imported.

        Another release changes the product while it is imported, so it starts cold.
        """
        if self.module != "projector":
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            return Running(self.process(*arguments, **pipes))
        surroundings = self._surroundings()
        return Running(
            warm_start().start(
                self.module, arguments, folder=self.folder, surroundings=surroundings
            )
        )

    def process(self, *arguments: str, stdout: int, stderr: int) -> subprocess.Popen[str]:
        """Starts a command as a user does, cold; its outputs go there."""
        return subprocess.Popen(
            [sys.executable, "-m", self.module, *arguments],
            cwd=self.folder,
            env=self._surroundings(),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
        )

    def _surroundings(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.upper().startswith("PROJECTOR_")},
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONUNBUFFERED": "1",
            **{f"PROJECTOR_{name}": value for name, value in self.settings.items()},
        }

    def run(self, *arguments: str, seconds: float = PATIENCE_SECONDS) -> Finished:
        """Runs a command to its end."""
        return self.start(*arguments).finish(seconds=seconds)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[Running]:
        """Runs a command for the length of the block; a failing block does not leave it behind."""
        running = self.start(*arguments)
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.process.kill()
            running.process.wait()
            running._join()


@dataclass(frozen=True, kw_only=True)
class EmulatorProcess:
    """The emulator as its own command, with what it printed about itself."""

    endpoint: str
    key: str
    running: Running


@contextmanager
def emulator_process(folder: Path, *arguments: str) -> Iterator[EmulatorProcess]:
    """`projector emulator` on a free port until the block ends."""
    with CommandLine(folder=folder).running("emulator", "--port", "0", *arguments) as running:
        running.says(r"^ready")
        endpoint = running.says(r"(https?://\S+)").group(1)
        key = running.says(r"key\S*\s+(\S+==)").group(1)
        yield EmulatorProcess(endpoint=endpoint, key=key, running=running)


def documents_of(items: Any) -> list[dict[str, Any]]:
    """Documents without the service's own properties, by id."""
    plain = [
        {name: value for name, value in item.items() if not name.startswith("_")} for item in items
    ]
    return sorted(plain, key=lambda document: str(document["id"]))
