"""The emulator's image, as far as it can be held without docker: what is copied, installed and run in it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from tests.docs.package_index import pins
from tests.test_architecture import imports_of, normal, parsed

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements-emulator.lock"
LINES = (
    (ROOT / "cosmos_emulator" / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def arguments(instruction: str) -> list[str]:
    """The list that an instruction of the last stage is given."""
    line = next(each for each in reversed(LINES) if instruction in each)
    given: list[str] = json.loads(line[line.index("[") :])
    return given


def test_what_is_copied_is_there_and_not_left_out() -> None:
    let_in = re.findall(r"^!(.+?)/?$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = [
        source
        for line in LINES
        if line.startswith("COPY ") and "--from" not in line
        for source in shlex.split(line)[1:-1]
    ]
    assert copied == ["requirements-emulator.lock", "cosmos_emulator"]
    assert all((ROOT / source).exists() for source in copied)
    assert set(copied) <= set(let_in)


def test_the_group_is_what_the_emulator_imports() -> None:
    group = PROJECT["dependency-groups"]["emulator"]
    assert set(group) <= set(PROJECT["project"]["dependencies"])
    owners = metadata.packages_distributions()
    imported = {
        name.split(".")[0]
        for path in ROOT.glob("cosmos_emulator/**/*.py")
        for name in imports_of(parsed(path))
    } - sys.stdlib_module_names
    needed = {normal(owners[name][0]) for name in imported - {"cosmos_emulator", "pytest"}}
    assert needed == {re.split(r"[<>=]", requirement)[0] for requirement in group}


def test_both_locks_pin_the_same() -> None:
    ours = {(pin.name, pin.version) for pin in pins(LOCK)}
    assert ours <= {(pin.name, pin.version) for pin in pins(ROOT / "requirements.lock")}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder with what the lock installs and what is copied, and nothing else."""
    for pin in pins(LOCK):
        distribution = metadata.distribution(pin.name)
        tops = {Path(file.parts[0]) for file in distribution.files or () if file.parts[0] != ".."}
        for top in tops - {Path("__pycache__")}:
            (tmp_path / top).symlink_to(Path(str(distribution.locate_file(top))))
    (tmp_path / "cosmos_emulator").symlink_to(ROOT / "cosmos_emulator")
    return tmp_path


@pytest.fixture
def container(image: Path) -> Iterator[dict[str, str]]:
    """The entry point run with that folder alone, and what it says until it is ready."""
    command = [sys.executable, "-S", *arguments("ENTRYPOINT")[1:], "--port", "0"]
    command[command.index("0.0.0.0")] = "127.0.0.1"  # noqa: S104 - not on a machine that tests
    environment = {**os.environ, "PYTHONPATH": str(image)}
    with subprocess.Popen(
        command, cwd=image, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = dict(process.stdout.readline().strip().partition(" ")[::2] for _ in range(3))
        try:
            yield said
        finally:
            process.terminate()
    assert process.returncode == 0


def test_the_lock_is_all_that_it_needs_and_its_health_is_asked_for(
    container: dict[str, str],
) -> None:
    assert "ready" in container
    program = arguments("HEALTHCHECK")[-1]
    (url,) = re.findall(r"'(http[^']+)'", program)
    assert url.startswith("http://127.0.0.1:8081/")
    here = url.replace("http://127.0.0.1:8081/", container["endpoint"])
    with urllib.request.urlopen(here, timeout=60) as answer:  # noqa: S310 - the emulator's own
        assert json.load(answer) == {"status": "ready"}
