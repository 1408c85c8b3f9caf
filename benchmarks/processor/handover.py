"""How long ranges stay without an owner after a host was killed, or was asked to stop.

Real processes at default settings (acquire 13 s, renew 17 s, expire 60 s). Covered means that
every lease names a living host and that each has written it since: only then is it being read.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks.processor.account import NAME, Account, running_account, until
from benchmarks.processor.containers import create_containers
from projector.changefeed import CosmosContainer
from projector.core.lease import Lease
from projector.cosmos.change_source import CosmosChangeSource
from projector.cosmos.client import CosmosGateway
from projector.cosmos.lease_container import LeaseContainer
from projector.cosmos.lease_documents import lease_prefix
from projector.cosmos.lease_store import CosmosLeaseStore
from projector.ports.feed import LeaseStore

PATIENCE_SECONDS = 180.0
SPREAD = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """One event; seconds from the signal until all ranges were owned by hosts that live."""

    event: str
    ranges: int
    orphaned: int
    covered_seconds: float


async def measure(*, ranges: int, hosts: int, told: Callable[[Handover], None]) -> None:
    """Kill one host, later stop another one."""
    with running_account(partitions=ranges) as account:
        await create_containers(account)
        for number in range(hosts):
            account.start_host(f"host-{number}")
        cart = account.container("cart")
        async with CosmosGateway(cart.account) as gateway:
            store = await _store(gateway, cart, account)
            await until(_balanced(store, ranges, hosts), seconds=PATIENCE_SECONDS)
            told(await _event(account, store, "host-0", signal.SIGKILL))
            told(await _event(account, store, "host-1", signal.SIGTERM))


async def _store(gateway: CosmosGateway, cart: CosmosContainer, account: Account) -> LeaseStore:
    rid = await CosmosChangeSource(gateway, cart.path).container_rid()
    prefix = lease_prefix(
        processor_name=NAME, endpoint_host=gateway.account.host, container_rid=rid
    )
    container = LeaseContainer(gateway, account.container("lease").path)
    return CosmosLeaseStore(container, prefix=prefix)


def _balanced(store: LeaseStore, ranges: int, hosts: int) -> Callable[[], object]:
    async def holds() -> bool:
        owners = [lease.owner for lease in await store.list_leases() if lease.continuation]
        counts = [owners.count(owner) for owner in set(owners) if owner]
        spread = max(counts, default=0) - min(counts, default=0)
        return len(owners) == ranges and len(counts) == hosts and spread <= SPREAD

    return holds


async def _event(
    account: Account, store: LeaseStore, host: str, number: signal.Signals
) -> Handover:
    leases = await store.list_leases()
    orphans = {lease.token for lease in leases if lease.owner == host}
    began, wall = time.monotonic(), datetime.now(UTC)
    account.signal_host(host, number)

    def taken(lease: Lease) -> bool:
        written = lease.timestamp
        return lease.owner not in {None, host} and written is not None and written > wall

    async def covered() -> bool:
        return all(taken(lease) for lease in await store.list_leases() if lease.token in orphans)

    await until(covered, seconds=PATIENCE_SECONDS)
    return Handover(
        event=number.name,
        ranges=len(leases),
        orphaned=len(orphans),
        covered_seconds=time.monotonic() - began,
    )
