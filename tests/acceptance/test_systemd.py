"""A host as a unit of systemd has it, with a socket of ours in the place of systemd's."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.acceptance.shop import Shop
from tests.acceptance.support import PATIENCE_SECONDS, CommandLine


def test_a_host_says_when_it_is_ready_that_it_lives_and_that_it_stops(
    shop: Shop, command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.create_database()
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(PATIENCE_SECONDS)
        with command_line.running("run") as host:
            assert receiver.recv(4096) == b"READY=1"
            while b"reading" not in (told := receiver.recv(4096)):
                assert told.startswith(b"WATCHDOG=1\nSTATUS=")
            os.kill(host.process.pid, 15)
            while (told := receiver.recv(4096)) != b"STOPPING=1":
                assert told.startswith(b"WATCHDOG=1\nSTATUS=")
            assert host.finish().code == 0
