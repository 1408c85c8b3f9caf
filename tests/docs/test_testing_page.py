"""The page for people who test their own code: its tests are run as they stand, by a pytest of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cosmos_emulator import Emulator

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "test-your-code.md").read_text("utf-8")
ENDPOINTS = """
from pathlib import Path

def test_each_worker_has_an_account(cosmos_emulator, worker_id):
    Path(f"endpoint-{worker_id}-{cosmos_emulator.endpoint.split(':')[2][:-1]}").touch()
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_first_example_has_six_lines() -> None:
    assert len([line for line in blocks("python")[0].splitlines() if line.strip()]) == 6


@pytest.mark.slow
def test_the_examples_are_green_in_a_folder_of_their_own(tmp_path: Path) -> None:
    for number, block in enumerate([*blocks("python"), ENDPOINTS]):
        (tmp_path / f"test_{number}.py").write_text(block)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nasyncio_mode = auto\n"
        "asyncio_default_fixture_loop_scope = function\n"
    )
    others = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--numprocesses", "2", "--dist", "each"],
        cwd=tmp_path,
        env=others,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "6 passed" in done.stdout, done.stdout + done.stderr
    accounts = [each.name.split("-")[1:] for each in tmp_path.glob("endpoint-*")]
    workers, ports = zip(*accounts, strict=True)
    assert sorted(workers) == ["gw0", "gw1"]
    assert len(set(ports)) == 2


def test_every_method_has_a_row() -> None:
    first_cells = re.findall(r"^\| (`\w+\(.*?) \|", PAGE, re.MULTILINE)
    told = set(re.findall(r"`(\w+)\(", "".join(first_cells)))
    there = {name for name, value in vars(Emulator).items() if callable(value)}
    assert told == {name for name in there if not name.startswith("_")} - {"start", "stop"}
