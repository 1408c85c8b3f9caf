"""What a person wants to know of an account before trusting it: rights, keys, TTL, clock.

Each question is one small request of its own and fails by itself, with the error that the same
request would meet in earnest. Writes one scratch document to the lease container and removes it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from projector.cosmos.client import ContainerPath, CosmosGateway
from projector.cosmos.lease_container import LeaseContainer
from projector.ports.diagnosis import ContainerFacts

SCRATCH = "projector.doctor"


class CosmosDiagnosis:
    """Questions to one account."""

    def __init__(self, gateway: CosmosGateway) -> None:
        """Ask through this gateway."""
        self._gateway = gateway

    async def database(self, path: ContainerPath) -> None:
        """Read the database of a container. Raises SourceMissing, ConfigurationError, ..."""
        async with self._gateway.database(path) as database:
            await database.read()

    async def container(self, path: ContainerPath) -> ContainerFacts:
        """Read a container's definition. Raises SourceMissing, ConfigurationError, ..."""
        headers: dict[str, str] = {}

        def keep(response: Any) -> None:
            headers.update(response.http_response.headers)

        async with self._gateway.container(path) as container:
            found: Mapping[str, Any] = await container.read(raw_response_hook=keep)
        return ContainerFacts(
            rid=str(found["_rid"]),
            partition_key_paths=tuple(found["partitionKey"]["paths"]),
            default_ttl=found.get("defaultTtl"),
            service_time=_time_of(headers),
        )

    async def write_scratch(self, path: ContainerPath) -> None:
        """Create, read, replace and delete a document in a container that exists.

        Raises LeaseStoreUnavailable, ConfigurationError, ...
        """
        leases = LeaseContainer(self._gateway, path)
        name = f"{SCRATCH}.{secrets.token_hex(8)}"
        document = {"id": name, "note": "written by `projector doctor`, which removes it again"}
        etag = await leases.create(document)
        try:
            await leases.read(name)
            await leases.replace(document, etag)
        finally:
            await leases.delete(name)


def _time_of(headers: Mapping[str, str]) -> datetime | None:
    text = {name.lower(): value for name, value in headers.items()}.get("date")
    try:
        return None if text is None else parsedate_to_datetime(text)
    except ValueError:
        return None
