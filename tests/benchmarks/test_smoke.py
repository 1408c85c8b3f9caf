from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_quick_case_measures_checks_and_writes_results(tmp_path: Path) -> None:
    results = tmp_path / "results.md"
    options = ["--quick", "--only", "large-batches", "--output", str(results)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written = results.read_text()
    assert "| apply only, initial load, batch 5,000, against COPY | 0.40 | 0.50 |" in written
    assert "fsync=on, synchronous_commit=on" in written
