"""The demo, without a terminal: it shows totals, lets others look, ends cleanly, and works twice."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.support import CommandLine, Finished, Running, in_a_terminal, until


def equal_at_the_end(finished: Finished) -> bool:
    assert finished.code == 0, finished.stdout + finished.stderr
    found = re.search(r"SQL held (\d+) cart lines, the container (\d+)", finished.stdout)
    assert found is not None, finished.stdout
    return int(found.group(1)) == int(found.group(2)) > 0


def lines_in_sql(demo: Running, command_line: CommandLine) -> int:
    folder = demo.says(r"PROJECTOR_DATA_DIR=(\S+) \S*projector psql").group(1)
    looking = command_line.with_settings(DATA_DIR=folder)
    counted = looking.run("psql", "-At", "-c", "SELECT count(*) FROM carts.cart_items")
    return int(counted.stdout) if counted.code == 0 else 0


def test_the_demo_can_be_looked_into_and_works_the_second_time_as_the_first(tmp_path: Path) -> None:
    command_line = CommandLine(folder=tmp_path)
    with command_line.running("demo") as demo:
        demo.says(r"^carts=[1-9]")
        port = int(demo.says(r"PostgreSQL 127\.0\.0\.1:(\d+)").group(1))
        until(lambda: lines_in_sql(demo, command_line), lambda found: found > 0)
        assert equal_at_the_end(demo.stop(signal.SIGINT))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host="127.0.0.1", port=port)
    assert equal_at_the_end(command_line.run("demo", "--seconds", "1"))


@pytest.mark.parametrize(("terminal", "encoding"), [("dumb", "utf-8"), ("xterm", "latin-1")])
def test_the_demo_suits_any_terminal(terminal: str, encoding: str, tmp_path: Path) -> None:
    code, shown = in_a_terminal(
        [sys.executable, "-m", "projector", "demo", "--seconds", "1"],
        folder=tmp_path,
        environment={"TERM": terminal, "PYTHONIOENCODING": encoding},
    )
    assert code == 0
    assert "Traceback" not in shown
    assert shown.rfind("\x1b[?25l") <= shown.rfind("\x1b[?25h")  # the cursor is back
    assert re.search(r"SQL held (\d+) cart lines, the container \1", shown)
    assert ("\x1b[" in shown) == (terminal != "dumb")


def test_a_demo_that_is_stopped_before_it_has_begun_ends_cleanly(tmp_path: Path) -> None:
    with CommandLine(folder=tmp_path).running("demo") as demo:
        demo.says(r"starting the projector")
        finished = demo.stop(signal.SIGINT)
    assert finished.code == 0, finished.stderr
    assert "error" not in finished.stderr
