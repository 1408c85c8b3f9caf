"""Where lines for people leave the process, so that whoever does not read them stops nothing.

A full disk, a closed pipe, or a pipe that nobody reads must not reach the code that has something to
say. A line is put into a bounded queue and written by a thread of its own; in the ordinary case it is
out at once and nothing is lost, and the end of the process waits for the rest, a little. What cannot be
written is counted, and the count is told as soon as something can be written again.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

from typing_extensions import override

WAITING_BYTES = 1_000_000
END_SECONDS = 2.0
STANDARD = (1, 2)


class Outlet(io.TextIOBase):
    """A text stream over a file descriptor whose `write` returns at once and never fails."""

    def __init__(
        self, descriptor: int, *, encoding: str = "utf-8", waiting_bytes: int = WAITING_BYTES
    ) -> None:
        """Write to this descriptor; at most so many bytes wait to be written."""
        self._descriptor = descriptor
        self._encoding = encoding
        self._limit = waiting_bytes
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._lost = 0
        self._torn = False
        self._writer: threading.Thread | None = None
        self.tell_lost: Callable[[int], str] = "{} lines were lost\n".format

    @override
    def write(self, text: str, /) -> int:
        """Put the text into the queue, or count it as lost when that is full."""
        line = text.encode(self._encoding, "backslashreplace")
        with self._changed:
            if self._size + len(line) > self._limit:
                self._lost += 1
            else:
                self._waiting.append(line)
                self._size += len(line)
                self._changed.notify_all()
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_all, name="outlet", daemon=True)
                self._writer.start()
        return len(text)

    @override
    def isatty(self) -> bool:
        """Whether a person reads there."""
        return os.isatty(self._descriptor)

    def drain(self, seconds: float = END_SECONDS) -> bool:
        """Wait until everything is written, but not for ever; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout=seconds)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                line, lost = self._waiting[0], self._lost
            note = self.tell_lost(lost).encode(self._encoding, "backslashreplace") if lost else b""
            is_out = self._put(note + line)
            with self._changed:
                self._waiting.popleft()
                self._size -= len(line)
                self._lost += 1 if not is_out else -lost
                self._changed.notify_all()

    def _put(self, line: bytes) -> bool:
        """Write it all; False when that is not possible. Waits as long as nobody reads."""
        rest = b"\n" + line if self._torn else line
        try:
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # somebody else made the pipe so
                    _wait_for_room(self._descriptor)
        except OSError:
            self._torn = self._torn or len(rest) < len(line)
            return False
        self._torn = False
        return True


_outlets: dict[int, Outlet] = {}


def outlet(stream: TextIO) -> TextIO | Outlet:
    """The outlet of standard output or error; any other stream is taken as it is."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return stream
    if descriptor not in STANDARD:
        return stream
    if descriptor not in _outlets:
        _outlets[descriptor] = Outlet(descriptor, encoding=stream.encoding or "utf-8")
        atexit.register(_outlets[descriptor].drain)
    return _outlets[descriptor]


def error_outlet() -> TextIO | Outlet:
    """Where everything goes that is not the answer of a command."""
    return outlet(sys.stderr)


def _wait_for_room(descriptor: int) -> None:
    waiting = select.poll()
    waiting.register(descriptor, select.POLLOUT)
    waiting.poll()
