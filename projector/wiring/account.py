"""The Cosmos DB side of a command: account, monitored container, leases.

Everything is opened lazily by the first request and closed with the block; the container's `_rid`
names the leases, so asking for it is also the check that endpoint, key and names are right.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from projector.core.source import SourceName
from projector.cosmos.cart_documents import CosmosCartDocuments
from projector.cosmos.change_source import CosmosChangeSource
from projector.cosmos.client import LEASE_SETTINGS, ContainerPath, CosmosAccount, CosmosGateway
from projector.cosmos.document_scan import CosmosDocumentScanner
from projector.cosmos.lease_container import LeaseContainer
from projector.cosmos.lease_documents import lease_prefix
from projector.cosmos.lease_store import CosmosBootstrapMarkers, CosmosLeaseStore
from projector.cosmos.point_reads import CosmosPointReader
from projector.ports.feed import Clock
from projector.settings import Settings, required_endpoint
from projector.wiring.events import Event
from projector.wiring.waiting import Patience

THROTTLED_SECONDS = 20.0
"""How long each call of a command waits while throttled."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a command needs of Cosmos DB."""

    gateway: CosmosGateway
    name: SourceName
    container_rid: str
    source: CosmosChangeSource
    points: CosmosPointReader
    scanner: CosmosDocumentScanner
    carts: CosmosCartDocuments
    leases: CosmosLeaseStore
    markers: CosmosBootstrapMarkers


@asynccontextmanager
async def account(
    settings: Settings, *, clock: Clock, patience: Patience | None = None
) -> AsyncIterator[Account]:
    """Opens the account; with `patience` an outage is waited out, without it is an error.

    Throttling, which is over soon, is waited out by a command for a while, too.

    Raises:
        SettingsError: No endpoint is set.
        ConfigurationError: Wrong key, or a right is missing.
        SourceMissing: There is no such database or container.
    """
    reached = cosmos_account(settings)
    if patience is None:
        reached = replace(reached, throttled_seconds=THROTTLED_SECONDS)
    path = source_path(settings)
    async with CosmosGateway(reached) as gateway:
        source = CosmosChangeSource(gateway, path)
        rid = await _container_rid(source, patience)
        log.info(
            Event.SOURCE_FOUND, container=path.container, database=path.database, container_rid=rid
        )
        prefix = lease_prefix(
            processor_name=settings.processor_name, endpoint_host=reached.host, container_rid=rid
        )
        leases = LeaseContainer(gateway, lease_path(settings))
        yield Account(
            gateway=gateway,
            name=SourceName(account=reached.host, database=path.database, container=path.container),
            container_rid=rid,
            source=source,
            points=CosmosPointReader(gateway, path, expected_rid=rid),
            scanner=CosmosDocumentScanner(gateway, path, expected_rid=rid),
            carts=CosmosCartDocuments(gateway, path, expected_rid=rid),
            leases=CosmosLeaseStore(leases, prefix=prefix),
            markers=CosmosBootstrapMarkers(leases, prefix=prefix, clock=clock),
        )


def cosmos_account(settings: Settings) -> CosmosAccount:
    """How the account is reached.

    Raises:
        SettingsError: No endpoint is set.
        ConfigurationError: Endpoint or key cannot be right.
    """
    return CosmosAccount(
        endpoint=required_endpoint(settings),
        key=None if settings.cosmos_key is None else settings.cosmos_key.get_secret_value(),
        verify_tls=settings.cosmos_verify_tls,
    )


def source_path(settings: Settings) -> ContainerPath:
    """The monitored container."""
    return ContainerPath(database=settings.cosmos_database, container=settings.cosmos_container)


def lease_path(settings: Settings) -> ContainerPath:
    """The container of the leases."""
    return ContainerPath(
        database=settings.lease_database_name,
        container=settings.lease_container,
        settings=LEASE_SETTINGS,
    )


async def _container_rid(source: CosmosChangeSource, patience: Patience | None) -> str:
    if patience is None:
        return await source.container_rid()
    return await patience.until_done(
        source.container_rid, failing=Event.SOURCE_UNAVAILABLE, back=Event.SOURCE_BACK
    )
