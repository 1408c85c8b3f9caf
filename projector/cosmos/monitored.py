"""The monitored container, pinned to one `_rid`, and the checks that every read of it shares.

A container that was deleted and recreated under its name is another container. The SDK re-reads
it silently; here every request shows the `_rid` it is meant for before it leaves, and a
difference, once confirmed by a fresh read, is `SourceRecreated`. The routing map may be stale
for the whole process; a request that would go to another partition than the target's never
leaves: the map is read afresh, and when the target is gone from it that is `FeedRangeGone`.

The SDK offers two hooks per call (`raw_request_hook`, `raw_response_hook`). `Request` uses them
to look at a request before it leaves and to keep the answer's bytes and headers, never the
client's shared `last_response_headers`. An error raised in a hook leaves the SDK at once, past
its retry loops. For answers that are kept, the SDK gets a small stand-in body, so that pages are
neither decoded twice nor lost to one malformed document. Other calls that share the hooks (the
account read, the routing map) are left alone.
Source: the request and response hooks of azure-cosmos 4.17.1; traps T4 and T7 of
tests/integration/cosmos/test_traps.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from azure.cosmos.aio import ContainerProxy

from projector.core.errors import (
    FeedRangeGone,
    PageTooLarge,
    ProjectorError,
    SourceRecreated,
    SourceUnavailable,
)
from projector.cosmos.client import ContainerPath, CosmosGateway
from projector.cosmos.continuations import Routes
from projector.cosmos.faults import (
    RID_MISMATCH,
    SESSION_NOT_AVAILABLE,
    ContainerLabel,
    Refusal,
    reason_of,
    refused,
)
from projector.cosmos.wire import (
    CONTAINER_RID,
    DOCUMENTS,
    END_EPK,
    FIRST_ERROR,
    FIRST_OUTAGE,
    HTTP_BAD_REQUEST,
    PARTITION_KEY_RANGES,
    RANGE_ID,
    RESOURCE_TYPE,
    START_EPK,
    Answer,
    answer_of,
)
from projector.ports.feed import FeedTarget, PhysicalRange

T = TypeVar("T")

ROUTING_ATTEMPTS = 5

_SDK_DECIDES = frozenset(
    {
        (401, None),  # an Entra challenge
        (404, SESSION_NOT_AVAILABLE),
        (408, None),
        (449, None),
    }
)


class OtherContainer(Exception):
    """The SDK's idea of the container's `_rid` differs from the pinned one."""


class OtherRange(Exception):
    """The SDK would read another physical partition, or other bounds, than the target's."""


@dataclass(slots=True)
class Request:
    """One call of the SDK under way, for one container and one target, and its last answer.

    Attributes:
        container: what to call, with the `hooks`.
        rid: of the container that the call is meant for.
        label: the container in messages.
        judge: told of each answer; raises what it means.
        target: the partition and the bounds that the call has to stay in; None: all of the container.
        resource_type: what the call reads; others that share its hooks are left alone.
        stand_in: what the SDK is to decode instead of an answer's body; None: the body itself.
        courtesy: further arguments for calls about documents.
        answer: that came last.
    """

    container: ContainerProxy
    rid: str
    label: ContainerLabel
    judge: Callable[[Answer], None]
    target: FeedTarget | None = None
    resource_type: str = DOCUMENTS
    stand_in: bytes | None = None
    courtesy: Mapping[str, Any] = field(default_factory=dict)
    answer: Answer | None = None

    @property
    def hooks(self) -> dict[str, Any]:
        """Keyword arguments for the SDK's method."""
        polite = self.courtesy if self.resource_type == DOCUMENTS else {}
        hooks = {"raw_request_hook": self._on_request, "raw_response_hook": self._on_response}
        return {**hooks, **polite}

    def taken(self) -> Answer:
        """The answer, which the request lets go: the SDK's page iterator holds the hooks in a cycle.

        Otherwise bodies of megabytes would wait for the collector, which counts objects, not bytes.
        Raises SourceUnavailable when there is none.
        """
        answer, self.answer = self.answer, None
        if answer is None:
            raise SourceUnavailable(f"{self.label} gave no answer")
        return answer

    def _on_request(self, request: Any) -> None:
        headers = request.http_request.headers
        if headers.get(RESOURCE_TYPE) == self.resource_type:
            check_container(headers, self.rid)
            if self.target is not None:
                check_range(headers, self.target)

    def _on_response(self, response: Any) -> None:
        http_response = response.http_response
        if http_response.request.headers.get(RESOURCE_TYPE) != self.resource_type:
            return
        answer = answer_of(http_response)
        self.judge(answer)
        self.answer = answer
        stand_in = self.stand_in
        if stand_in is not None and answer.status < FIRST_ERROR:
            http_response.body = lambda: stand_in


class MonitoredContainer:
    """One container: what `ChangeSource`, `PointReader` and `DocumentScanner` have in common."""

    def __init__(
        self, gateway: CosmosGateway, path: ContainerPath, *, expected_rid: str | None = None
    ) -> None:
        """Take the container's names; `expected_rid` None pins the `_rid` that is found first."""
        self._gateway = gateway
        self._path = path
        self._pinned = expected_rid
        self._routing = asyncio.Lock()
        self._polite = gateway.account.courtesy
        self.label = gateway.label(path)

    async def rebuild(self) -> None:
        """Throw the client away and make a new one, once for all ranges that ask."""
        await self._gateway.rebuild()

    async def rid(self) -> str:
        """The pinned `_rid`."""
        return self._pinned or await self.container_rid()

    async def container_rid(self) -> str:
        """The `_rid` as the service has it now, read afresh; the first one found is pinned."""
        async with self._gateway.container(self._path) as container:
            found = str((await container.read())["_rid"])
        self._pinned = self._pinned or found
        return found

    async def physical_ranges(self) -> Sequence[PhysicalRange]:
        """The live partitions, lowest first, read afresh."""
        async with self._routing:
            for _ in range(ROUTING_ATTEMPTS):
                routes = Routes(judge=self.judge)
                try:
                    await self.ask(
                        read_routes, judge=routes.keep, resource_type=PARTITION_KEY_RANGES
                    )
                except FeedRangeGone as gone:  # said of the listing, it is an outage
                    raise SourceUnavailable(str(gone)) from gone
                if (ranges := routes.live()) is not None:
                    return ranges
        raise SourceUnavailable(f"the partitions of {self.label} could not be listed; trying again")

    async def ask(
        self,
        call: Callable[[Request], Awaitable[T]],
        target: FeedTarget | None = None,
        *,
        judge: Callable[[Answer], None] | None = None,
        resource_type: str = DOCUMENTS,
        stand_in: bytes | None = None,
    ) -> T:
        """One call of the SDK, for the pinned container and the target only.

        A doubt about container or range is looked into once; then the call is made again.

        Args:
            call: the SDK's method, with the request's `hooks`.
            target: as in `Request`.
            judge: raises what an answer means; by default `self.judge`.
            resource_type: as in `Request`.
            stand_in: as in `Request`.

        Raises:
            SourceRecreated: The container has another `_rid`.
            FeedRangeGone: The target is no longer part of the partition it names.
        """
        rid = await self.rid()
        tried = False
        while True:
            try:
                async with self._gateway.container(self._path) as sdk:
                    request = Request(
                        sdk,
                        rid,
                        self.label,
                        judge or self.judge,
                        target=target,
                        resource_type=resource_type,
                        stand_in=stand_in,
                        courtesy=self._polite,
                    )
                    return await call(request)
            except OtherContainer:
                if tried:
                    raise SourceUnavailable(f"{self.label} is being made anew") from None
                await self.confirm(rid)
            except OtherRange as difference:
                if tried or target is None or not await self._still_there(target):
                    raise FeedRangeGone(f"{difference}; {self.label}") from None
            tried = True

    async def confirm(self, rid: str) -> None:
        """Raise SourceRecreated unless a fresh read finds that `_rid`."""
        found = await self.container_rid()
        if found != rid:
            raise SourceRecreated(expected_rid=rid, found_rid=found)

    async def _still_there(self, target: FeedTarget) -> bool:
        return any(
            one.id == target.range_id and one.feed_range.covers(target.feed_range)
            for one in await self.physical_ranges()
        )

    def judge(self, answer: Answer) -> None:
        """Raise what a refusal means, unless the SDK has to see it first."""
        if not FIRST_ERROR <= answer.status < FIRST_OUTAGE:
            return
        if (answer.status, answer.substatus) == (400, RID_MISMATCH):
            raise OtherContainer
        if (answer.status, answer.substatus) in _SDK_DECIDES:
            return
        raise self.meaning(answer)

    def judge_page(self, answer: Answer, *, max_documents: int) -> None:
        """Raise PageTooLarge for a plain 400 that may be about the size of the page; else as `judge`.

        The service says so in words alone; a page of one document tells it from any other 400.
        """
        plain = answer.status == HTTP_BAD_REQUEST and not answer.substatus
        if plain and max_documents > 1:
            raise PageTooLarge(
                f"{self.label} refused a page of {max_documents} documents: {self.meaning(answer)}"
            )
        self.judge(answer)

    def meaning(self, answer: Answer) -> ProjectorError:
        """The error that a refusal stands for."""
        refusal = Refusal(
            status=answer.status,
            substatus=answer.substatus,
            reason=reason_of(answer.body),
            retry_after_seconds=answer.retry_after_seconds,
            clock_ahead_seconds=answer.clock_ahead_seconds,
        )
        return refused(refusal, self.label)


async def read_routes(request: Request) -> None:
    """Let the SDK drop its routing map, which all clients of a process share, and read it anew."""
    async for _ in request.container.read_feed_ranges(force_refresh=True, **request.hooks):
        pass


def check_container(headers: Mapping[str, str], rid: str) -> None:
    """Raise OtherContainer when a request is meant for another `_rid`."""
    if headers.get(CONTAINER_RID, rid) != rid:
        raise OtherContainer


def check_range(headers: Mapping[str, str], target: FeedTarget) -> None:
    """Raise OtherRange when a request would read anything but the target."""
    range_id = headers.get(RANGE_ID)
    bounds = (headers.get(START_EPK), headers.get(END_EPK))
    whole = bounds == (None, None)
    if range_id != target.range_id or not (
        whole or bounds == (target.feed_range.min, target.feed_range.max)
    ):
        raise OtherRange(
            f"range {target.range_id} [{target.feed_range.min}, {target.feed_range.max}) is now"
            f" part of {range_id}" + ("" if whole else f" [{bounds[0]}, {bounds[1]})")
        )
