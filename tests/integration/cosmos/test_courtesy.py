"""What the service is told so that others go first stands in the reads of the container, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from projector.core.names import Continuation
from projector.cosmos.change_source import CosmosChangeSource
from projector.cosmos.client import CosmosGateway
from projector.cosmos.lease_container import LeaseContainer
from projector.cosmos.lease_store import CosmosBootstrapMarkers
from projector.cosmos.point_reads import CosmosPointReader
from projector.cosmos.transport import Transport
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.wiring.opening import cosmos_account
from tests.fixtures.emulator import running_emulator
from tests.integration.cosmos.support import CART, LEASE, account_of, emulated_world

PRIORITY, BUCKET = "x-ms-cosmos-priority-level", "x-ms-cosmos-throughput-bucket"


async def test_reads_of_the_container_bear_priority_and_bucket_and_leases_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: dict[str, set[tuple[str | None, str | None]]] = {}
    send = Transport._send

    async def noting(self: Transport, request: Any, options: Any) -> Any:
        container = request.url.partition("/colls/")[2].partition("/")[0]
        if "/docs" in request.url:
            headers = request.headers
            told.setdefault(container, set()).add((headers.get(PRIORITY), headers.get(BUCKET)))
        return await send(self, request, options)

    settings = Settings(
        cosmos_endpoint="http://127.0.0.1:1/",
        cosmos_key="a2V5",  # type: ignore[arg-type]  # as from the environment
        cosmos_priority="low",
        cosmos_throughput_bucket=2,
    )
    async with running_emulator() as server, emulated_world(server) as world:
        await world.write("1", "a")
        (target, *_) = await world.targets()
        courtesy = cosmos_account(settings).courtesy
        async with CosmosGateway(account_of(server, courtesy=courtesy)) as gateway:
            monkeypatch.setattr(Transport, "_send", noting)
            source = CosmosChangeSource(gateway, CART)
            page = await source.read_page(target, None, max_documents=10)
            await source.read_page(target, Continuation(page.continuation), max_documents=10)
            await CosmosPointReader(gateway, CART).read('"1"', "a")
            leases = LeaseContainer(gateway, LEASE)
            await CosmosBootstrapMarkers(leases, prefix="p", clock=SystemClock()).mark_initialized()
    assert told == {"cart": {("Low", "2")}, "lease": {(None, None)}}
