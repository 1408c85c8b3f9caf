"""All documents of one partition key, as raw bytes, for a person who asks about one cart."""

from __future__ import annotations

from collections.abc import Sequence

from projector.cosmos.client import ContainerPath, CosmosGateway
from projector.cosmos.monitored import MonitoredContainer, Request
from projector.cosmos.point_reads import partition_key_of
from projector.cosmos.wire import PAGE_STAND_IN

PAGE_SIZE = 500
MOST_PAGES = 2


class CosmosCartDocuments:
    """Reads the documents of one cart, at most a thousand."""

    def __init__(
        self, gateway: CosmosGateway, path: ContainerPath, *, expected_rid: str | None = None
    ) -> None:
        """Take the container's names; `expected_rid` None pins the one found first."""
        self._container = MonitoredContainer(gateway, path, rid=expected_rid)

    async def read(self, partition_key_json: str) -> Sequence[bytes]:
        """Pages `{"Documents": [...]}` as sent.

        Raises: SourceRecreated, SourceMissing, SourceUnavailable, Throttled, CredentialExpired.
        """
        key = partition_key_of(partition_key_json)

        async def call(request: Request) -> Sequence[bytes]:
            bodies: list[bytes] = []
            pages = request.container.query_items(
                query="SELECT * FROM c",
                partition_key=key,
                max_item_count=PAGE_SIZE,
                **request.hooks,
            ).by_page()
            async for _ in pages:
                bodies.append(request.answer().body)
                if len(bodies) == MOST_PAGES:
                    break
            return bodies

        return await self._container.ask(call, stand_in=PAGE_STAND_IN)
