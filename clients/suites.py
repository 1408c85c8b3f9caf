"""The suites: what each needs, how its packages are fetched, how it runs, where it reports."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    https: bool = False
    checks: Callable[[str, Path], list[Check]]
    """Reads the standard output of the run, and the file `{report}`."""


def _javascript_version() -> str:
    lock = json.loads((HERE / "javascript/package-lock.json").read_text())
    return str(lock["packages"]["node_modules/@azure/cosmos"]["version"])


def _found(pattern: str, path: str) -> str:
    match = re.search(pattern, (HERE / path).read_text())
    return match[1] if match else "unknown"


def _python(kind: str) -> Suite:
    return Suite(
        client=f"Python, {kind}",
        folder=HERE.parent,
        version=lambda: metadata.version("azure-cosmos"),
        run=[
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--junitxml={report}",
            f"clients/python/test_{kind}.py",
        ],
        checks=lambda _output, report: from_junit(report.read_text()),
    )


SUITES = {
    "python-sync": _python("sync"),
    "python-async": _python("async"),
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
