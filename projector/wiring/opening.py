"""The one place where account and target are opened, and where questions are bound to them.

Everything is connected lazily by the first request and closed with the block; the container's `_rid`
names the leases, so asking for it is also the check that endpoint, key and names are right.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import structlog

from projector.core.health import STILL_SECONDS, Limits
from projector.core.names import SourceIdentity, SourceName
from projector.cosmos.change_source import CosmosChangeSource
from projector.cosmos.client import LEASE_SETTINGS, ContainerPath, CosmosAccount, CosmosGateway
from projector.cosmos.diagnosis import CosmosDiagnosis
from projector.cosmos.document_scan import CosmosCartDocuments, CosmosDocumentScanner
from projector.cosmos.lease_container import LeaseContainer
from projector.cosmos.lease_documents import lease_prefix
from projector.cosmos.lease_store import CosmosBootstrapMarkers, CosmosLeaseStore
from projector.cosmos.point_reads import CosmosPointReader
from projector.cosmos.transport import Meter
from projector.ports.budget import UNLIMITED, Allowance
from projector.ports.copy import CopiedSource
from projector.ports.diagnosis import SourceQuestions, TargetQuestions
from projector.ports.feed import Clock
from projector.ports.points import DocumentScanner, PointReader
from projector.postgres import diagnosis
from projector.postgres.blockers import blockers
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import FIRST_CONTROL, FIRST_GENERATION
from projector.postgres.source import copied_source
from projector.reconcile.reads import PacedReader, PacedScanner
from projector.settings import Settings, required_endpoint
from projector.telemetry.logs import Event
from projector.wiring import database
from projector.wiring.servers import Servers

POLLS_OF_STILL = 3
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
    points: PointReader
    scanner: DocumentScanner
    carts: CosmosCartDocuments
    leases: CosmosLeaseStore
    markers: CosmosBootstrapMarkers
    lease_container: LeaseContainer
    clock: Clock
    allowance: Allowance = UNLIMITED

    def of_processor(self, name: str) -> Account:
        """The same, with the leases of that processor."""
        prefix = lease_prefix(
            processor_name=name,
            endpoint_host=self.gateway.account.host,
            container_rid=self.container_rid,
        )
        return replace(
            self,
            leases=CosmosLeaseStore(self.lease_container, prefix=prefix),
            markers=CosmosBootstrapMarkers(self.lease_container, prefix=prefix, clock=self.clock),
        )


@asynccontextmanager
async def account(
    settings: Settings,
    *,
    clock: Clock,
    servers: Servers | None = None,
    processor_name: str | None = None,
    meter: Meter = lambda spent: None,
    allowance: Allowance = UNLIMITED,
) -> AsyncIterator[Account]:
    """Opens the account; with `servers` an outage is waited out, without it is an error.

    Throttling, which is over soon, is waited out by a command for a while, too. Its leases are those of
    `processor_name`, or as the settings say. `meter` is told of each answered request; single documents
    and scans are read by the `allowance`.

    Raises:
        SettingsError: No endpoint is set.
        ConfigurationError: Wrong key, or a right is missing.
        SourceMissing: There is no such database or container.
    """
    reached = replace(cosmos_account(settings), meter=meter)
    if servers is None:
        reached = replace(reached, throttled_seconds=THROTTLED_SECONDS)
    path, name = source_path(settings), source_name(settings, reached)
    async with CosmosGateway(reached) as gateway:
        source = CosmosChangeSource(gateway, path)
        rid = await _container_rid(source, servers)
        log.info(
            Event.SOURCE_FOUND, container=path.container, database=path.database, container_rid=rid
        )
        prefix = lease_prefix(
            processor_name=processor_name or settings.processor_name,
            endpoint_host=reached.host,
            container_rid=rid,
        )
        leases = LeaseContainer(gateway, lease_path(settings))
        yield Account(
            gateway=gateway,
            name=name,
            container_rid=rid,
            source=source,
            points=PacedReader(CosmosPointReader(gateway, path, expected_rid=rid), allowance),
            scanner=PacedScanner(CosmosDocumentScanner(gateway, path, expected_rid=rid), allowance),
            carts=CosmosCartDocuments(gateway, path, expected_rid=rid),
            leases=CosmosLeaseStore(leases, prefix=prefix),
            markers=CosmosBootstrapMarkers(leases, prefix=prefix, clock=clock),
            lease_container=leases,
            clock=clock,
            allowance=allowance,
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
        courtesy=_courtesy(settings),
    )


def _courtesy(settings: Settings) -> Mapping[str, Any]:
    """What each request about documents of the monitored container bears, in the SDK's words."""
    given = {
        "priority": settings.cosmos_priority and settings.cosmos_priority.capitalize(),
        "throughput_bucket": settings.cosmos_throughput_bucket,
    }
    return {name: value for name, value in given.items() if value}


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


async def _container_rid(source: CosmosChangeSource, servers: Servers | None) -> str:
    if servers is None:
        return await source.container_rid()
    return await servers.waiting_for_source(source.container_rid)


def source_name(settings: Settings, account: CosmosAccount) -> SourceName:
    """The monitored container as a person names it."""
    path = source_path(settings)
    return SourceName(account=account.host, database=path.database, container=path.container)


def source_identity(settings: Settings, name: SourceName) -> SourceIdentity:
    """What the target is to remember beside the `_rid`."""
    projection = settings.projection
    return SourceIdentity(
        name=name, key_path=projection.definition.key_path, projection=projection.text
    )


def source_questions(settings: Settings, gateway: CosmosGateway) -> SourceQuestions:
    """What can be asked of the account of that gateway."""
    asked, path, leases = CosmosDiagnosis(gateway), source_path(settings), lease_path(settings)
    return SourceQuestions(
        endpoint=gateway.account.endpoint,
        database=path.database,
        container=path.container,
        lease_container=leases.container,
        has_key=gateway.account.key is not None,
        source=CosmosChangeSource(gateway, path),
        reader=CosmosPointReader(gateway, path),
        scanner=CosmosDocumentScanner(gateway, path),
        ask_database=partial(asked.database, path),
        ask_container=partial(asked.container, path),
        ask_lease_container=partial(asked.container, leases),
        write_scratch=partial(asked.write_scratch, leases),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The database, reached; `url` bears the password."""

    connections: Connections
    url: str = field(repr=False)

    async def copied(self) -> CopiedSource | None:
        """What it remembers of its source. Raises SinkUnavailable."""
        async with self.connections.session() as session:
            return await copied_source(session)


@asynccontextmanager
async def target(settings: Settings, *, create: bool = False) -> AsyncIterator[Target]:
    """Opens the target; the first statement connects. Arguments and errors: see `target_url`."""
    async with (
        database.target_url(settings, create=create) as url,
        connections_to(settings, url) as connections,
    ):
        yield Target(connections=connections, url=url)


def connections_to(settings: Settings, url: str, *, control: str = FIRST_CONTROL) -> Connections:
    """Connections for the generation whose control tables stand in that schema; to be opened."""
    return Connections(
        ConnectionOptions(
            url=url,
            application_name=f"projector {settings.instance_name}"[:63],
            lease_expiration_seconds=settings.lease_expiration_seconds,
            control=control,
        )
    )


def target_questions(settings: Settings, reached: Target) -> TargetQuestions:
    """What can be asked of that target."""
    connections, me = reached.connections, settings.processor_name
    return TargetQuestions(
        embedded=settings.database_url is None,
        views_schema=FIRST_GENERATION.definition.schema,
        server=partial(diagnosis.server_facts, connections, reader=settings.reader_role),
        look=partial(database.look, reached.url),
        sessions=partial(diagnosis.server_sessions, connections),
        taken_schemas=partial(diagnosis.taken_schemas, connections),
        missing_rights=lambda migrates: diagnosis.missing_rights(connections, migrates=migrates),
        roles_lacking=partial(diagnosis.roles_lacking, connections),
        missing_views=partial(diagnosis.missing_views, connections),
        strangers=partial(diagnosis.strangers, connections, processor_name=me),
        blockers=partial(blockers, connections),
    )


def limits(settings: Settings) -> Limits:
    """What these settings take for healthy; rare polls make for rare answers."""
    return Limits(
        lag_seconds=settings.health_lag_seconds,
        still_seconds=max(STILL_SECONDS, POLLS_OF_STILL * settings.poll_max_seconds),
        expiration_seconds=settings.lease_expiration_seconds,
    )
