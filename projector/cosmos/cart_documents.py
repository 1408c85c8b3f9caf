"""All documents of one partition key, as raw bytes, for a person who asks about one cart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from projector.core.errors import SourceUnavailable
from projector.cosmos.client import ContainerPath, CosmosGateway
from projector.cosmos.monitored import MonitoredContainer, check_container
from projector.cosmos.point_reads import partition_key_of
from projector.cosmos.wire import PAGE_STAND_IN, Exchange

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

        async def ask(rid: str) -> Sequence[bytes]:
            return await self._read(rid, partition_key_json)

        return await self._container.settled(ask)

    async def _read(self, rid: str, partition_key_json: str) -> Sequence[bytes]:
        def check(headers: Mapping[str, str]) -> None:
            check_container(headers, rid)

        exchange = Exchange(check=check, judge=self._container.judge, stand_in=PAGE_STAND_IN)
        bodies: list[bytes] = []
        async with self._container.lent() as container:
            pages = container.query_items(
                query="SELECT * FROM c",
                partition_key=partition_key_of(partition_key_json),
                max_item_count=PAGE_SIZE,
                **exchange.hooks,
            ).by_page()
            async for _ in pages:
                answer = exchange.taken()
                if answer is None:
                    raise SourceUnavailable(f"{self._container.place} gave no answer for a page")
                bodies.append(answer.body)
                if len(bodies) == MOST_PAGES:
                    break
        return bodies
