"""What Ctrl-C and SIGTERM do to commands, as processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from projector.cli.failures import ExitCode
from tests.acceptance.support import CommandLine, Running

STUBBORN = """
import asyncio
from projector.cli.entry import enter_until_stopped

async def command(stopping):
    print("started", flush=True)
    await stopping.wait()
    print("asked", flush=True)
    await asyncio.Event().wait()

enter_until_stopped(command, notice="stopping in good order")
"""
OBEDIENT = STUBBORN.replace("    await asyncio.Event().wait()\n", "")


def running(script: str) -> Running:
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Running(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_a_command_in_good_order(number: signal.Signals) -> None:
    command = running(OBEDIENT)
    command.says("started")
    finished = command.stop(number)
    assert finished.code == 0
    assert "stopping in good order" in finished.stderr


def test_the_second_signal_ends_a_command_at_once() -> None:
    command = running(STUBBORN)
    command.says("started")
    command.process.send_signal(signal.SIGTERM)
    command.says("asked")
    finished = command.stop(signal.SIGTERM)
    assert finished.code != 0
    assert "stopping at once" in finished.stderr


def test_a_short_command_that_waits_is_interrupted(tmp_path: Path) -> None:
    nowhere = {"DATABASE_URL": "postgresql://user:secret@127.0.0.1:1/none"}
    command = CommandLine(folder=tmp_path, settings=nowhere).start("db", "upgrade")
    command.says("target_unavailable")
    finished = command.stop(signal.SIGINT)
    assert finished.code == ExitCode.INTERRUPTED
    assert "Traceback" not in finished.stderr
    assert "secret" not in finished.stderr
