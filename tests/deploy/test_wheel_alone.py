"""The wheel by itself: what the runtime lock names and nothing else, in another folder, on a read-only disk.

It is what a machine has after `pip install` of wheel and lock, and what the image has: no source tree, no
development packages, no embedded PostgreSQL. No network is asked: the packages of the lock are those that
run this test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from projector import __version__
from tests.docs.package_index import pins

ROOT = Path(__file__).parents[2]
READ_ONLY = """
import os, sys
from projector.cli import main
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def refuse(event, arguments):
    if event in {"os.mkdir", "os.rename", "os.remove", "os.symlink"}:
        raise OSError(30, f"read-only: {event} {arguments}")
    if event == "open" and arguments[2] & WRITING and not str(arguments[0]).startswith("/dev/"):
        raise OSError(30, f"read-only: {arguments[0]}")
sys.addaudithook(refuse)
sys.exit(main())
"""
"""Stands for a root file system that is mounted read-only: whoever opens a file to write is refused."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages: those of the runtime lock, and the wheel as pip unpacks it."""
    folder = tmp_path_factory.mktemp("environment")
    wheels = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*build, "--directory", str(wheels)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    quiet = ["--no-compile", "--disable-pip-version-check", "--target", str(folder)]
    subprocess.run([*install, *quiet, str(wheel)], check=True, capture_output=True)
    for pin in pins(ROOT / "requirements-runtime.lock"):
        if pin.requirement.marker is not None and not pin.requirement.marker.evaluate():
            continue
        distribution = metadata.distribution(pin.name)
        tops = {Path(file.parts[0]) for file in distribution.files or () if file.parts[0] != ".."}
        for top in tops - {Path("__pycache__")}:
            if not (folder / top).exists():  # a namespace has several owners
                (folder / top).symlink_to(Path(str(distribution.locate_file(top))))
    return folder


def run(environment: Path, elsewhere: Path, *command: str, **settings: str) -> str:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PROJECTOR_", "PYTHON"))
    }
    done = subprocess.run(
        [sys.executable, "-S", *command],
        cwd=elsewhere,
        env={**inherited, "PYTHONPATH": str(environment), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_the_wheel_that_runs(environment: Path, tmp_path: Path) -> None:
    where = run(environment, tmp_path, "-c", "import projector; print(projector.__file__)")
    assert Path(where.strip()).is_relative_to(environment)


def test_the_console_script_tells_its_version(environment: Path, tmp_path: Path) -> None:
    script = environment / "bin" / "projector"
    assert __version__ in run(environment, tmp_path, str(script), "--version")


def test_a_database_is_made_from_the_wheel_alone_and_nothing_is_written_to_the_disk(
    environment: Path, tmp_path: Path, empty_database_url: str
) -> None:
    database = {"PROJECTOR_DATABASE_URL": empty_database_url}

    def projector(*arguments: str) -> str:
        return run(environment, tmp_path, "-B", "-c", READ_ONLY, *arguments, **database)

    assert "the schema is at 0" in projector("db", "upgrade")
    found, newest = projector("db", "current").split(", the newest is ")
    assert newest.strip() in found
    assert list(tmp_path.iterdir()) == []
