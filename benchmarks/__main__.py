"""Runs the suite: `python -m benchmarks [--quick] [--only NAME] [--rounds N] [--output FILE]`."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import apply_cases
from benchmarks.dlt_case import dlt_merge
from benchmarks.end_to_end import end_to_end
from benchmarks.findings import Report
from benchmarks.freshness import freshness
from benchmarks.history_case import with_events
from benchmarks.rebuild import rebuild
from benchmarks.rebuild_freshness import rebuild_freshness
from benchmarks.results import summary, write_results
from benchmarks.starting import starting
from benchmarks.suite import QUICK, Case, Sizes, Suite
from benchmarks.switching import switching
from benchmarks.target import bench_server

ROUNDS = 5
QUICK_ROUNDS = 1
RESULTS = Path(__file__).parent / "results.md"
CASES: Mapping[str, Case] = {
    "small-batches": apply_cases.small_batches,
    "large-batches": apply_cases.large_batches,
    "dlt": dlt_merge,
    "end-to-end": end_to_end,
    "rebuild": rebuild,
    "switching": switching,
    "freshness": freshness,
    "freshness-beside-rebuild": rebuild_freshness,
    "large-table": apply_cases.large_table,
    "hot-carts": apply_cases.hot_carts,
    "with-events": with_events,
    "starting": starting,
}


async def run_cases(suite: Suite, names: Sequence[str]) -> list[Report]:
    """Run the named cases in the order of the table of targets."""
    reports = []
    for name in names:
        suite.say(f"-- {name}")
        report = await CASES[name](suite)
        for finding in report.findings:
            suite.say(summary(finding))
        if report.skipped:
            suite.say(report.skipped)
        reports.append(report)
    return reports


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, run, write the results."""
    options = _parser().parse_args(arguments)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    names = [name for name in CASES if not options.only or name in options.only]
    began = time.monotonic()
    with bench_server() as server:
        sizes = QUICK if options.quick else Sizes()
        suite = Suite(server=server, sizes=sizes, rounds=rounds, say=_say)
        reports = asyncio.run(run_cases(suite, names))
        settings = server.settings()
    seconds = time.monotonic() - began
    _say(f"done in {seconds:.0f} s")
    output = options.output or (None if options.quick or options.only else RESULTS)
    if output is None:
        return
    now = datetime.now(UTC)
    write_results(output, reports, now=now, server=settings, rounds=rounds, seconds=seconds)
    _say(f"written: {output}")


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, for trying; no results file"
    )
    parser.add_argument("--only", action="append", choices=list(CASES), help="run these cases")
    parser.add_argument("--rounds", type=int, help=f"rounds of each case (default {ROUNDS})")
    parser.add_argument("--output", type=Path, help="where to write the results")
    return parser


if __name__ == "__main__":
    main()
