from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from projector.telemetry.outlet import Outlet, outlet

LINE = "a line that somebody may want to read\n"


def read_all(descriptor: int) -> str:
    pieces = []
    while piece := os.read(descriptor, 65_536):
        pieces.append(piece)
    return b"".join(pieces).decode()


def test_lines_arrive_whole_and_in_their_order() -> None:
    reader, writer = os.pipe()
    log = Outlet(writer)
    for number in range(100):
        log.write(f"{number}\n")
    assert log.drain()
    os.close(writer)
    assert read_all(reader).split() == [str(number) for number in range(100)]
    os.close(reader)


def test_nobody_reads_and_the_loss_is_told_when_somebody_does() -> None:
    reader, writer = os.pipe()
    log = Outlet(writer, waiting_bytes=100_000)
    for _ in range(10_000):
        log.write(LINE)
    assert not log.drain(0.0)
    told: list[str] = []
    reading = threading.Thread(target=lambda: told.append(read_all(reader)))
    reading.start()
    assert log.drain(60.0)
    log.write("the last one\n")
    assert log.drain(60.0)
    os.close(writer)
    reading.join()
    os.close(reader)
    lines = told[0].splitlines()
    lost = [int(line.split()[0]) for line in lines if line.endswith("lines were lost")]
    assert sum(lost) > 0
    assert lines.count(LINE.strip()) + sum(lost) == 10_000
    assert lines[-1] == "the last one"


def test_a_full_disk_loses_lines_until_there_is_room(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("a device of Linux")
    descriptor = os.open("/dev/full", os.O_WRONLY)
    log = Outlet(descriptor)
    for _ in range(3):
        log.write(LINE)
    assert log.drain()
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(file, descriptor)
    log.write(LINE)
    assert log.drain()
    os.close(file)
    os.close(descriptor)
    assert (tmp_path / "log").read_text() == f"3 lines were lost\n{LINE}"


def test_a_closed_pipe_and_a_closed_descriptor_raise_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log = Outlet(writer)
    log.write(LINE)
    assert log.drain()
    os.close(writer)
    log.write(LINE)
    assert log.drain()


def test_a_pipe_that_somebody_made_non_blocking_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    log = Outlet(writer)
    for _ in range(5_000):
        log.write(LINE)
    told: list[str] = []
    reading = threading.Thread(target=lambda: told.append(read_all(reader)))
    reading.start()
    assert log.drain(60.0)
    os.close(writer)
    reading.join()
    os.close(reader)
    assert told[0] == LINE * 5_000


def test_what_the_encoding_lacks_is_escaped() -> None:
    reader, writer = os.pipe()
    log = Outlet(writer, encoding="latin-1")
    log.write("Größe €\n")
    assert log.drain()
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == b"Gr\xf6\xdfe \\u20ac\n"


def test_a_file_of_somebody_else_is_written_to_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        assert outlet(file) is file
