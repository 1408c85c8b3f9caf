"""The demo, without a terminal: it shows totals, lets others look, ends cleanly, and works twice."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.support import CommandLine, Finished, Running, until

pytestmark = [pytest.mark.acceptance, pytest.mark.postgres, pytest.mark.slow]


def equal_at_the_end(finished: Finished) -> bool:
    assert finished.code == 0, finished.stdout + finished.stderr
    found = re.search(r"SQL held (\d+) cart lines, the container (\d+)", finished.stdout)
    assert found is not None, finished.stdout
    return int(found.group(1)) == int(found.group(2)) > 0


def lines_in_sql(demo: Running) -> tuple[str, int]:
    url = demo.says(r"psql '(\S+)'").group(1)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM carts.cart_items").fetchone()
    return url, 0 if found is None else found[0]


def test_the_demo_can_be_looked_into_and_works_the_second_time_as_the_first(tmp_path: Path) -> None:
    command_line = CommandLine(folder=tmp_path)
    with command_line.running("demo") as demo:
        demo.says(r"^carts=[1-9]")
        url, _ = until(lambda: lines_in_sql(demo), lambda found: found[1] > 0)
        assert equal_at_the_end(demo.stop(signal.SIGINT))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    assert equal_at_the_end(command_line.run("demo", "--seconds", "2"))


def test_a_demo_that_is_stopped_before_it_has_begun_ends_cleanly(tmp_path: Path) -> None:
    with CommandLine(folder=tmp_path).running("demo") as demo:
        demo.says(r"starting the projector")
        finished = demo.stop(signal.SIGINT)
    assert finished.code == 0, finished.stderr
    assert "error" not in finished.stderr
