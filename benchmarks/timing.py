"""Clocks: wall time, CPU of this process, CPU of server processes; and what a set of them says.

The CPU of one backend comes from the scheduler in nanoseconds; that of a whole server or host from
its process tree, ended children included, so that nothing is lost when a session closes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What some documents took: wall seconds, and CPU seconds on either side."""

    documents: int = 0
    seconds: float = 0.0
    client_seconds: float = 0.0
    server_seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            documents=self.documents + other.documents,
            seconds=self.seconds + other.seconds,
            client_seconds=self.client_seconds + other.client_seconds,
            server_seconds=self.server_seconds + other.server_seconds,
        )

    @property
    def rate(self) -> float:
        """Documents per second."""
        return self.documents / self.seconds

    @property
    def client_micros(self) -> float:
        """CPU of the client per document, in microseconds."""
        return self.client_seconds / self.documents * 1e6

    @property
    def server_micros(self) -> float:
        """CPU of the server per document, in microseconds."""
        return self.server_seconds / self.documents * 1e6


class Stopwatch:
    """Adds up the cost of what runs inside `running`."""

    def __init__(self, *, backend_pid: int) -> None:
        self._backend_pid = backend_pid
        self.cost = Cost()

    @contextmanager
    def running(self, documents: int) -> Iterator[None]:
        """Time the body and charge it to that many documents."""
        server, client = thread_seconds(self._backend_pid), time.process_time()
        began = time.perf_counter()
        yield
        self.cost += Cost(
            documents=documents,
            seconds=time.perf_counter() - began,
            client_seconds=time.process_time() - client,
            server_seconds=thread_seconds(self._backend_pid) - server,
        )


def thread_seconds(pid: int) -> float:
    """CPU seconds of a process with one thread, as exactly as the system tells."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / NANOSECONDS
    except OSError:  # not Linux, or a kernel without these figures
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)


def tree_seconds(pid: int) -> float:
    """CPU seconds of a process, its live children and those that ended."""
    root = psutil.Process(pid)
    own = root.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in root.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:  # ended meanwhile: its parent has counted it
            continue
        total += times.user + times.system
    return float(total)


def peak_resident_bytes(pid: int) -> int:
    """The most memory a process has had in RAM so far; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return _resident_bytes(pid)
    peaks = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peaks[0]) * 1024 if peaks else 0


def _resident_bytes(pid: int) -> int:
    """What it has now, where the system keeps no peak."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Iterable[float]) -> float:
    """The value in the middle."""
    return statistics.median(values)
