"""Opens what a processor or an estimator needs of Cosmos DB, and closes it with the block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from projector.changefeed.containers import CosmosContainer
from projector.cosmos.change_source import CosmosChangeSource
from projector.cosmos.lease_container import LeaseContainer
from projector.cosmos.lease_documents import lease_prefix
from projector.cosmos.lease_store import CosmosBootstrapMarkers, CosmosLeaseStore
from projector.ports.feed import BootstrapMarkers, ChangeSource, Clock, LeaseStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """The ports of one processor."""

    source: ChangeSource
    leases: LeaseStore
    markers: BootstrapMarkers


@asynccontextmanager
async def opened(
    container: CosmosContainer,
    lease_container: CosmosContainer,
    *,
    processor_name: str,
    clock: Clock,
) -> AsyncIterator[Adapters]:
    """The ports over two containers, in one account or two.

    Raises: ConfigurationError, SourceMissing, SourceUnavailable.
    """
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(container.gateway())
        lease_gateway = gateway
        if not container.same_account(lease_container):
            lease_gateway = await stack.enter_async_context(lease_container.gateway())
        source = CosmosChangeSource(gateway, container.path)
        prefix = lease_prefix(
            processor_name=processor_name,
            endpoint_host=gateway.account.host,
            container_rid=await source.container_rid(),
        )
        documents = LeaseContainer(lease_gateway, lease_container.path)
        yield Adapters(
            source=source,
            leases=CosmosLeaseStore(documents, prefix=prefix),
            markers=CosmosBootstrapMarkers(documents, prefix=prefix, clock=clock),
        )
