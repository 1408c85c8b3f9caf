"""How fast `projector verify` is: `python -m benchmarks.verify_speed [--documents 100000]`.

Real processes: the emulator, a host that copies the documents, then `projector verify --json`; a
second run finds planted differences and a third one mends them. Results are checked, then printed.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import psycopg

from benchmarks.account import Account, Finished, emulator, running
from benchmarks.documents import Shop
from benchmarks.target import BenchServer, WrongResult, bench_server, check_totals

CONTAINER = "cart"
DRIFT = 3
PLANTED = 1000

PLANT = b"""
DELETE FROM projector_g1.cart_items
WHERE ctid = ANY (ARRAY(SELECT ctid FROM projector_g1.cart_items LIMIT %s))"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    options = parser.parse_args()
    with bench_server() as server, server.database() as url, emulator() as account:
        _measure(server, url, account, options.documents)


def _measure(server: BenchServer, url: str, account: Account, documents: int) -> None:
    account.create(CONTAINER, Shop().carts(documents))
    settings = account.settings(container=CONTAINER, url=url, run="verify")
    with running(["-m", "projector", "run", "--until-caught-up"], settings) as host:
        host.wait().expect_success()
    server.settle(url)

    finished, report = _verify(settings, expected=0)
    _check(report, documents=documents, rows=documents, missing=0)
    _tell("verify", finished, documents)

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(PLANT, [PLANTED])
    finished, report = _verify(settings, expected=DRIFT)
    _check(report, documents=documents, missing=PLANTED)
    _tell(f"verify, {PLANTED:,} rows missing", finished, documents)

    finished, report = _verify(settings, "--repair", expected=0)
    _check(report, documents=documents, rows=documents, missing=PLANTED)
    check_totals(url)
    _tell(f"verify --repair, {PLANTED:,} rows missing", finished, documents)


def _verify(
    settings: dict[str, str], *arguments: str, expected: int
) -> tuple[Finished, dict[str, Any]]:
    with running(["-m", "projector", "verify", "--json", *arguments], settings) as process:
        finished = process.wait()
    if finished.code != expected:
        raise WrongResult(f"exit code {finished.code}: {finished.errors[-500:]}")
    return finished, json.loads(finished.output)


def _check(report: dict[str, Any], **expected: int) -> None:
    found = {name: report[name] for name in expected}
    if found != expected:
        raise WrongResult(f"{found} instead of {expected}")


def _tell(what: str, finished: Finished, documents: int) -> None:
    print(
        f"{what}: {documents:,} documents in {finished.seconds:.1f} s,"
        f" {documents / finished.seconds:,.0f} documents/s,"
        f" {finished.cpu_seconds:.1f} s of CPU, {finished.resident_bytes / 2**20:.0f} MiB at its peak"
    )


if __name__ == "__main__":
    main()
