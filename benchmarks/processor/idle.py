"""What a host asks of the service: for ranges where nothing happens, and for changes.

A real process at default settings over the emulator, watched for a real window after all
bookmarks stand still; requests and request units are the emulator's counts in that window.
Units per hour are that window scaled, which is fair because every loop of a quiet range is
periodic with less than the window.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from azure.cosmos.aio import CosmosClient

from benchmarks.processor.account import DATABASE, Account, running_account, until
from benchmarks.processor.containers import create_containers, write_carts

PATIENCE_SECONDS = 60.0
QUIET_SECONDS = 5.0
WRITES = frozenset({"create_item"})
"""Operations of the shop, not of the host, while it is under load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was asked within a window."""

    ranges: int
    seconds: float
    changes: int
    requests: Mapping[str, float]
    units: Mapping[str, float]


async def measure(
    *, ranges: int, seconds: float, rate: float, poll_max_seconds: float = 1.0
) -> Cost:
    """Watch one host; `rate` changes per second are written meanwhile."""
    with running_account(partitions=ranges) as account:
        await create_containers(account)
        await write_carts(account, ranges * 10, prefix="first")
        account.start_host("host-0", poll_max_seconds=poll_max_seconds)
        await until(_quiet(account, ranges), seconds=PATIENCE_SECONDS, every=QUIET_SECONDS)
        before, began = account.operations(), time.monotonic()
        changes = await _load(account, seconds=seconds, rate=rate)
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        return _difference(
            before,
            account.operations(),
            ranges=ranges,
            seconds=time.monotonic() - began,
            changes=changes,
        )


def _quiet(account: Account, ranges: int) -> Callable[[], object]:
    """Every range has a bookmark and none moved since the last look."""
    seen: list[list[str | None]] = []

    async def holds() -> bool:
        tokens = await _bookmarks(account)
        seen.append(tokens)
        return len(tokens) == ranges and None not in tokens and seen[-2:] == [tokens, tokens]

    return holds


async def _bookmarks(account: Account) -> list[str | None]:
    async with CosmosClient(account.endpoint, account.key) as client:
        leases = client.get_database_client(DATABASE).get_container_client("lease")
        query = "SELECT c.LeaseToken, c.ContinuationToken FROM c"
        found = [one async for one in leases.query_items(query)]
    return [one["ContinuationToken"] for one in found if "LeaseToken" in one]


async def _load(account: Account, *, seconds: float, rate: float) -> int:
    """Write in bursts of a tenth of a second; the number of changes written."""
    if not rate:
        return 0
    burst = max(1, round(rate / 10))
    ends = time.monotonic() + seconds
    written = 0
    while time.monotonic() < ends:
        due = time.monotonic() + burst / rate
        await write_carts(account, burst, prefix=f"load-{written}")
        written += burst
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    return written


def _difference(
    before: Mapping[str, Mapping[str, float]],
    after: Mapping[str, Mapping[str, float]],
    *,
    ranges: int,
    seconds: float,
    changes: int,
) -> Cost:
    def grown(kind: str) -> dict[str, float]:
        return {
            name: one[kind] - before.get(name, {}).get(kind, 0.0)
            for name, one in after.items()
            if name not in WRITES and one[kind] > before.get(name, {}).get(kind, 0.0)
        }

    return Cost(
        ranges=ranges,
        seconds=seconds,
        changes=changes,
        requests=grown("requests"),
        units=grown("request_units"),
    )


def table(cost: Cost) -> str:
    """One line per operation: per idle range and hour, or per 1000 changes."""
    if cost.changes:
        scale, per = 1000 / cost.changes, "1000 changes"
    else:
        scale, per = 3600 / cost.seconds / cost.ranges, "range and hour"
    lines = [
        f"{cost.ranges} ranges, {cost.seconds:.0f} s, {cost.changes} changes; per {per}:",
        "operation | requests | RU",
    ]
    lines += [
        f"{name} | {count * scale:.1f} | {cost.units.get(name, 0.0) * scale:.1f}"
        for name, count in sorted(cost.requests.items())
    ]
    requests, units = sum(cost.requests.values()), sum(cost.units.values())
    lines.append(f"all | {requests * scale:.1f} | {units * scale:.1f}")
    return "\n".join(lines)
