"""A local package index of empty wheels: what tomorrow's index may hold, without tomorrow.

Each package of a lock file is there in its pinned version and in one that is newer, and each of
them requires the others as the real ones do, extras included. The lock is written anew with the
hashes of these wheels; its names, versions and markers stay as they are.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement

NEWER = "9999.0"


@dataclass(frozen=True, slots=True)
class Pin:
    """A line of a lock file: a name, the version, and where it applies."""

    name: str
    version: str
    requirement: Requirement


def pins(lock: Path) -> list[Pin]:
    """Returns what the lock file names; hashes are left out."""
    return list(_pins(lock.read_text(encoding="utf-8")))


def _pins(text: str) -> Iterator[Pin]:
    for line in text.splitlines():
        if line and line[0].isalnum():
            requirement = Requirement(line.removesuffix("\\").strip())
            yield Pin(requirement.name, str(requirement.specifier).removeprefix("=="), requirement)


def index_of_newer_releases(folder: Path, lock: Path) -> tuple[str, Path]:
    """Fills the folder with an index and a lock for it; returns the index's URL and that lock."""
    lines = []
    for pin in pins(lock):
        page = folder / "simple" / pin.name
        page.mkdir(parents=True)
        wheels = [_wheel(page, pin.name, version) for version in (pin.version, NEWER)]
        links = "".join(f'<a href="{wheel.name}">{wheel.name}</a>\n' for wheel in wheels)
        (page / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
        digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
        lines.append(f"{pin.requirement} --hash=sha256:{digest}\n")
    ours = folder / lock.name
    ours.write_text("".join(lines))
    return (folder / "simple").as_uri(), ours


def _wheel(page: Path, name: str, version: str) -> Path:
    stem = f"{name.replace('-', '_')}-{version}"
    path = page / f"{stem}-py3-none-any.whl"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Requires-Dist: {line}\n" for line in requirements_of(name)]
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{stem}.dist-info/METADATA", "".join(metadata))
        wheel.writestr(
            f"{stem}.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{stem}.dist-info/RECORD", "")
    return path


def requirements_of(name: str) -> list[str]:
    """What the installed package declares; nothing for one that other platforms need."""
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []
