"""All documents of one range by query, page by page, for comparing the copy with the container.

Not the change feed, on purpose: what the feed left out must show. Each page is one request and
stands alone, so that any error may be answered by asking again. As with the feed, no page stands
for another container, another partition or other bounds than the target's.
Source: docs/explanation/correctness.md; Cosmos DB REST API, querying documents.

All documents of one partition key, as raw bytes, for a person who asks about one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

from projector.cosmos.continuations import feed_range_json
from projector.cosmos.monitored import MonitoredContainer, Request
from projector.cosmos.point_reads import partition_key_of
from projector.cosmos.wire import PAGE_STAND_IN, Answer, session_lsn
from projector.ports.feed import FeedTarget
from projector.ports.points import ScannedPage

USAGE = "x-ms-resource-usage"
DOCUMENTS_COUNT = re.compile(r"(?:^|;)documentsCount=([0-9]{1,18})(?:;|$)")


class CosmosDocumentScanner(MonitoredContainer):
    """`DocumentScanner` over the SDK."""

    async def count(self) -> int | None:
        """See `DocumentScanner`."""
        usage: list[str] = []

        def note(headers: Mapping[str, str], _properties: object) -> None:
            usage.append(headers.get(USAGE, ""))

        async def call(request: Request) -> None:
            await request.container.read(populate_quota_info=True, response_hook=note)

        await self.ask(call)
        found = DOCUMENTS_COUNT.search(usage[-1]) if usage else None
        return None if found is None else int(found[1])

    async def scan(
        self, target: FeedTarget, next_page: str | None, *, max_documents: int
    ) -> ScannedPage:
        """Read one page; see `DocumentScanner`."""

        async def call(request: Request) -> Answer:
            pages = request.container.query_items(
                query="SELECT * FROM c",
                feed_range=feed_range_json(target.feed_range),
                max_item_count=max_documents,
                **request.hooks,
            ).by_page(next_page)
            await anext(pages, None)
            return request.taken()

        judge = partial(self.judge_page, max_documents=max_documents)
        answer = await self.ask(call, target, judge=judge, stand_in=PAGE_STAND_IN)
        return ScannedPage(
            body=answer.body,
            next_page=answer.next_page,
            session_lsn=session_lsn(answer.session_token, target.range_id),
            session_token=answer.session_token,
            request_units=answer.request_units,
        )


PAGE_SIZE = 500
MOST_PAGES = 2


class CosmosCartDocuments(MonitoredContainer):
    """Reads the documents of one cart, at most a thousand."""

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
                bodies.append(request.taken().body)
                if len(bodies) == MOST_PAGES:
                    break
            return bodies

        return await self.ask(call, stand_in=PAGE_STAND_IN)
