"""Runs the suites and shows a table: `python -m clients [NAME ...]`.

A suite whose toolchain or packages are not to be had is skipped with one line that says so; one that
fails makes the exit code 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.emulators import emulator
from clients.reports import Check
from clients.suites import SUITES, Suite

_RUN_SECONDS = 1800
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a suite: its checks, or why it did not run."""

    suite: Suite
    checks: Sequence[Check] = ()
    skipped: str | None = None

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [each for each in self.checks if each.trouble is not None]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many passed, failed, were skipped."""
        skipped = sum(each.skipped for each in self.checks)
        failed = len(self.failed)
        return len(self.checks) - failed - skipped, failed, skipped


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the named suites, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m clients", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUITES)}")
    names = parser.parse_args(arguments).names or list(SUITES)
    unknown = [each for each in names if each not in SUITES]
    if unknown:
        parser.error(f"no suite {unknown[0]!r}; there are {', '.join(SUITES)}")
    results = []
    for name in names:
        result = _result(SUITES[name])
        results.append(result)
        _say(f"{name}: {_outcome(result)}")
        for check in result.failed:
            _say(f"  failed: {check.name}: {(check.trouble or '').splitlines()[0]}")
    _say(*table(results))
    return 1 if any(each.failed for each in results) else 0


def table(results: Sequence[Result]) -> list[str]:
    """A line for each client, and a last one with the sums."""
    rows = [("client", "version", "passed", "failed", "skipped")]
    for each in results:
        counts = ("-", "-", "all") if each.skipped else map(str, each.counts)
        rows.append((each.suite.client, each.suite.version(), *counts))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(
            cell.rjust(width) if column > 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    passed, failed, skipped = (sum(each) for each in zip(*(r.counts for r in results), strict=True))
    return ["", *lines, "", f"{passed} passed, {failed} failed, {skipped} skipped"]


def _result(suite: Suite) -> Result:
    missing = [each for each in suite.needs if shutil.which(each) is None]
    if missing:
        return Result(suite=suite, skipped=f"`{missing[0]}` is not installed here")
    if suite.fetch:
        fetched = _run(suite.fetch, suite.folder, {})
        if fetched.returncode:
            command, told = " ".join(suite.fetch), _told(fetched)[0]
            return Result(
                suite=suite,
                skipped=f"its packages are not to be had; `{command}` said: {told}",
            )
    with tempfile.TemporaryDirectory() as folder:
        return Result(suite=suite, checks=_checks(suite, Path(folder)))


def _checks(suite: Suite, folder: Path) -> list[Check]:
    report = folder / "report"
    command = [each.format(report=report) for each in suite.run]
    try:
        with emulator(folder, https=suite.https) as environment:
            ran = _run(command, suite.folder, {**environment, **suite.environment})
    except subprocess.TimeoutExpired:
        return [Check(name=" ".join(command), trouble=f"no end within {_RUN_SECONDS} seconds")]
    try:
        checks = suite.checks(ran.stdout, report)
    except Exception as error:  # noqa: BLE001 - whatever broke the report, the output tells why
        checks = [Check(name="the report", trouble=f"unreadable: {error}")]
    if ran.returncode and not any(each.trouble for each in checks):
        trouble = f"exit {ran.returncode}: {_told(ran)[-1]}"
        checks.append(Check(name=" ".join(command), trouble=trouble))
    return checks


def _run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that what it started ends with it
    ) as process:
        try:
            output, errors = process.communicate(timeout=_RUN_SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _told(ran: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines that a command wrote, without colours; errors come last."""
    lines = _COLOUR.sub("", f"{ran.stdout}\n{ran.stderr}").splitlines()
    return [each.strip() for each in lines if each.strip()] or ["nothing"]


def _outcome(result: Result) -> str:
    if result.skipped:
        return f"skipped: {result.skipped}"
    passed, failed, _ = result.counts
    return f"{passed} passed, {failed} failed"


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
