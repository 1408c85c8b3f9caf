"""An install takes what the lock names and resolves nothing, whatever the package index holds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile"])
def test_the_lock_is_installed_without_resolving(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", " ")
    installs = [line for line in text.splitlines() if "--requirement" in line]
    assert installs
    for line in installs:
        assert re.search(r"\s--no-deps\s", line), line
        assert re.search(r"\s--require-hashes\s", line), line


def test_what_the_lock_installed_is_complete() -> None:
    command = [sys.executable, "-m", "pip", "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
