"""The wheel: what an installation from it has, built by the locked backend without a network."""

from __future__ import annotations

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "projector": "projector",
    "cosmos_emulator": "cosmos_emulator",
    "migrations": "projector/migrations",
}


def test_the_wheel_has_both_packages_and_their_entry_points(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(
        [*build, "--directory", str(tmp_path)], cwd=ROOT, check=True, capture_output=True
    )
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        points = configparser.ConfigParser()
        (name,) = [each for each in names if each.endswith("/entry_points.txt")]
        points.read_string(wheel.read(name).decode())
    expected = {
        f"{place}/{source.relative_to(ROOT / folder).as_posix()}"
        for folder, place in PACKAGES.items()
        for source in (ROOT / folder).rglob("*.py")
    }
    assert expected <= names
    assert dict(points["console_scripts"]) == {"projector": "projector.cli:main"}
    assert dict(points["pytest11"]) == {
        "cosmos_emulator.pytest_plugin": "cosmos_emulator.pytest_plugin"
    }
