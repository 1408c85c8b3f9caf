"""The suites: what each needs, how its packages are fetched, how it runs, where it reports."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

from clients.reports import Check, from_folder, from_go, from_junit

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A language's SDK under test. `{report}` in `run` is where a report may be written."""

    client: str
    folder: Path
    version: Callable[[], str]
    needs: Sequence[str] = ()
    fetch: Sequence[str] = ()
    run: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    https: bool = False
    checks: Callable[[str, Path], list[Check]]
    """Reads the standard output of the run, and the file `{report}`."""


def _javascript_version() -> str:
    lock = json.loads((HERE / "javascript/package-lock.json").read_text())
    return str(lock["packages"]["node_modules/@azure/cosmos"]["version"])


def _found(pattern: str, path: str) -> str:
    match = re.search(pattern, (HERE / path).read_text())
    return match[1] if match else "unknown"


def _python(client: str, *files: str) -> Suite:
    return Suite(
        client=client,
        folder=HERE / "python",
        version=lambda: metadata.version("azure-cosmos"),
        run=[sys.executable, "-m", "pytest", "--quiet", "--junitxml={report}", *files],
        checks=lambda _output, report: from_junit(report.read_text()),
    )


_SYNC, _ASYNC = "test_sync.py", "test_async.py"
_OLDER = f"{sys.prefix}/azure-cosmos-older"
_PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]

SUITES = {
    "python-sync": _python("Python, sync", _SYNC),
    "python-async": _python("Python, async", _ASYNC),
    "python-older": replace(
        _python("Python, older", _SYNC, _ASYNC),
        version=lambda: _found(r"azure-cosmos==(\S+)", "python/older.lock"),
        fetch=[
            *_PIP,
            *["--no-deps", "--require-hashes", "--upgrade", "--target", _OLDER],
            *["--requirement", "older.lock"],
        ],
        environment={"PYTHONPATH": _OLDER},
    ),
    "javascript": Suite(
        client="JavaScript",
        folder=HERE / "javascript",
        version=_javascript_version,
        needs=["node", "npm"],
        fetch=["npm", "ci"],
        run=["node", "--test", "--test-reporter=junit"],
        https=True,
        checks=lambda output, _report: from_junit(output),
    ),
    "go": Suite(
        client="Go",
        folder=HERE / "go",
        version=lambda: _found(r"sdk/data/azcosmos v(\S+)", "go/go.mod"),
        needs=["go"],
        fetch=["go", "mod", "download"],
        run=["go", "test", "-json", "-count=1", "./..."],
        checks=lambda output, _report: from_go(output),
    ),
    "java": Suite(
        client="Java",
        folder=HERE / "java",
        version=lambda: _found(r"<azure-cosmos.version>([^<]+)", "java/pom.xml"),
        needs=["java", "mvn"],
        fetch=["mvn", "--batch-mode", "--quiet", "dependency:resolve"],
        run=["mvn", "--batch-mode", "--quiet", "clean", "test"],
        https=True,
        checks=lambda _output, _report: from_folder(HERE / "java/target/surefire-reports"),
    ),
}
