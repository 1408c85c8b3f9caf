"""`python -m cosmos_emulator`, as a process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest

from cosmos_emulator.__main__ import main
from tests.fixtures.blocking import blocking_client
from tests.fixtures.ports import free_port

COMMAND = (sys.executable, "-m", "cosmos_emulator")


@contextmanager
def command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process, and what it says until it is ready."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process, dict(_announced(process.stdout))
        finally:
            process.kill()


def _announced(lines: IO[str] | None) -> Iterator[tuple[str, str]]:
    assert lines is not None
    for line in lines:
        word, _, value = line.strip().partition(" ")
        yield word, value
        if word == "ready":
            return


def read(said: dict[str, str], path: str) -> Any:
    """What a control request answers."""
    url = f"{said['endpoint']}_emulator/{path}"
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - the emulator's own
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_for_any_language_ends_cleanly(number: signal.Signals) -> None:
    with command("--key", "a2V5", "--partitions", "2", "--clock-offset", "-3600") as (
        process,
        said,
    ):
        assert read(said, "health") == {"status": "ready"}
        assert read(said, "clock")["offset_seconds"] == -3600
        with blocking_client(said["endpoint"], "a2V5") as client:
            assert list(client.list_databases()) == []
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, "")


def test_several_at_once_each_have_their_own_port_and_account() -> None:
    with command() as (_, first), command() as (_, second):
        assert first["endpoint"] != second["endpoint"]
        with blocking_client(first["endpoint"], first["key"]) as client:
            client.create_database("shop")
        with blocking_client(second["endpoint"], second["key"]) as client:
            assert list(client.list_databases()) == []


def test_a_reader_that_leaves_does_not_end_it() -> None:
    with command() as (process, said):
        assert process.stdout is not None
        process.stdout.close()
        assert read(said, "health") == {"status": "ready"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["--host", "198.51.100.7"], "no such address", id="not of this machine"),
        pytest.param(["--host", "nowhere.invalid"], "no such address", id="no address"),
    ],
)
def test_what_it_cannot_listen_on_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main([*arguments, "--port", "0"]) == 1
    assert re.fullmatch(rf"error: cannot listen on .*{told}.*\n", capsys.readouterr().err)


def test_a_port_that_is_taken_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with command() as (_, said):
        port = said["endpoint"].rstrip("/").rpartition(":")[2]
        assert main(["--port", port]) == 1
    told = capsys.readouterr().err
    assert told == (
        f"error: cannot listen on 127.0.0.1 port {port}: it is taken; try --port 0 for any free one\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "70000"],
        ["--port", "many"],
        ["--partitions", "0"],
        ["--host", " "],
        ["--key", "not base64!"],
        ["--nonsense"],
    ],
)
def test_a_wrong_option_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, *(["--port", str(free_port())] if "--port" not in arguments else [])])
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err
