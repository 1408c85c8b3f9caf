"""Nobody reads the log, its disk is full, its pipe is closed: the copy goes on, and so does a stop."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.acceptance.shop import Shop
from tests.acceptance.support import PATIENCE_SECONDS, CommandLine, until_equal


@contextmanager
def full_disk() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def closed_pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextmanager
def unread_pipe() -> Iterator[int]:
    """A pipe that is full to the brim, with somebody at its other end who sleeps."""
    reader, writer = os.pipe()
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    fcntl.fcntl(writer, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    fcntl.fcntl(writer, fcntl.F_SETFL, flags)
    yield writer
    os.close(reader)
    os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("where", [full_disk, closed_pipe, unread_pipe])
def test_the_log_stops_neither_the_copy_nor_a_stop(
    shop: Shop, command_line: CommandLine, where: object
) -> None:
    shop.create_database()
    for number in range(5):
        shop.add("123", f"item-{number}", 1)
    assert callable(where)
    with where() as descriptor:
        process = command_line.process("run", stdout=descriptor, stderr=descriptor)
        try:
            until_equal(shop.totals, (5, 5))
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            process.kill()
            process.wait()
