"""The command line of the figures; see the module docstrings for what each one measures."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Sequence

import structlog

from benchmarks.processor import fleet, handover, idle

HEAD = (
    "phase | covered s | balanced s | rescued | stolen | lost races | 429s | listings "
    "| requests/s (peak) | RU/s (peak) | listings' share of RU"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the figures and print it as it comes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processor", description=__doc__)
    figures = parser.add_subparsers(dest="figure", required=True)
    balancing = figures.add_parser("fleet", help="balancing of many hosts, in virtual time")
    balancing.add_argument("--hosts", type=int, default=1000)
    balancing.add_argument("--ranges", type=int, default=10_000)
    balancing.add_argument("--change", type=int, default=100, help="hosts that die, and join")
    balancing.add_argument("--throughput", type=float, help="RU/s of the lease container")
    balancing.add_argument("--net", action="store_true", help=".NET's loop instead of ours")
    balancing.add_argument("--give-up", type=float, default=900.0, help="seconds per phase")
    balancing.add_argument("--seed", type=int, default=1)
    hand = figures.add_parser("handover", help="kill -9 and SIGTERM with real processes")
    hand.add_argument("--ranges", type=int, default=12)
    hand.add_argument("--hosts", type=int, default=3)
    for name, text in (("idle", "cost of idle ranges"), ("load", "requests per 1000 changes")):
        costs = figures.add_parser(name, help=text)
        costs.add_argument("--ranges", type=int, default=8)
        costs.add_argument("--seconds", type=float, default=102.0, help="a multiple of 17")
        costs.add_argument("--poll-max", type=float, default=1.0, help="seconds between polls")
        costs.add_argument("--rate", type=float, default=200.0, help="changes per second (load)")
    _run(parser.parse_args(arguments))


def _run(chosen: argparse.Namespace) -> None:
    match chosen.figure:
        case "fleet":
            quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
            structlog.configure(wrapper_class=quiet)
            print(HEAD)
            fleet.run(_plan(chosen), lambda phase: print(_line(phase), flush=True))
        case "handover":
            asyncio.run(
                handover.measure(ranges=chosen.ranges, hosts=chosen.hosts, told=_tell_handover)
            )
        case _:
            rate = chosen.rate if chosen.figure == "load" else 0.0
            cost = asyncio.run(
                idle.measure(
                    ranges=chosen.ranges,
                    seconds=chosen.seconds,
                    rate=rate,
                    poll_max_seconds=chosen.poll_max,
                )
            )
            print(idle.table(cost))


def _plan(chosen: argparse.Namespace) -> fleet.Plan:
    return fleet.Plan(
        hosts=chosen.hosts,
        ranges=chosen.ranges,
        change=chosen.change,
        units_per_second=chosen.throughput,
        as_net=chosen.net,
        give_up_seconds=chosen.give_up,
        seed=chosen.seed,
    )


def _tell_handover(one: handover.Handover) -> None:
    print(
        f"{one.event}: {one.orphaned} of {one.ranges} ranges orphaned,"
        f" covered again after {one.covered_seconds:.1f} s",
        flush=True,
    )


def _line(phase: fleet.Phase) -> str:
    return " | ".join(
        [
            phase.name,
            _seconds(phase.covered_seconds),
            _seconds(phase.balanced_seconds),
            str(phase.rescued),
            str(phase.stolen),
            str(phase.lost_races),
            str(phase.throttled),
            f"{phase.listings:.0f}",
            f"{phase.requests_per_second:.0f} ({phase.peak_requests_per_second})",
            f"{phase.units_per_second:.0f} ({phase.peak_units_per_second:.0f})",
            f"{phase.listing_share:.0%}",
        ]
    )


def _seconds(value: float | None) -> str:
    return "not yet" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    main()
