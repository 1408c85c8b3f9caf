"""The processor's ports over the emulator's engine, in process, each call behind a gate.

`Passage` is the one place where a simulated call waits for its turn, may fail before it happens
("refused") or after it happened ("answer lost"), and where the calls of a crashed host end.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import TypeVar

from cosmos_emulator import Engine
from cosmos_emulator.container import Container, FeedResult
from cosmos_emulator.errors import EmulatorError
from cosmos_emulator.feed import Beginning, Since
from cosmos_emulator.writes import Preconditions
from projector.core.errors import (
    FeedRangeGone,
    LeaseConflict,
    LeaseMissing,
    LeaseStoreUnavailable,
    ProjectorError,
    SourceMissing,
    SourceRecreated,
    SourceUnavailable,
    Throttled,
)
from projector.core.lease import Lease
from projector.core.names import Continuation, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.start import Position, StartFrom, StartKind
from projector.cosmos.lease_documents import document_of, idle_seconds, lease_id, lease_of
from projector.ports.feed import Clock, FeedTarget, Page, PhysicalRange
from tests.simulation.loop import VirtualLoop

T = TypeVar("T")
DATABASE = "acme-webstore"
CART = "cart"
LEASE = "lease"
_GONE = 410
_LSN = re.compile(rb'"_lsn"\s*:\s*([0-9]+)')
_NOT_FOUND = 404
_CONFLICT = 409


class HostCrashed(BaseException):
    """The host of this call was killed; nothing it does has an effect any more."""


class Passage:
    """The way of one host's calls into the world."""

    def __init__(self, loop: VirtualLoop, random: Random, name: str) -> None:
        self._loop = loop
        self._random = random
        self.name = name
        self.crashed = False
        self.paused_until = 0.0
        self.refusal_rate = 0.0
        self.slow_rate = 0.0

    async def cross(
        self, call: str, failure: Callable[[], ProjectorError], act: Callable[[], Awaitable[T]]
    ) -> T:
        """Wait for the turn, then `act`; perhaps raise `failure()` before or after it."""
        await self._turn(call)
        chance = self._random.random()
        if chance < self.refusal_rate:
            raise failure()
        with self._loop.real_io():
            answer = await act()
        if self.crashed:
            raise HostCrashed(self.name)
        if chance > 1 - self.refusal_rate / 2:
            raise failure()
        return answer

    @asynccontextmanager
    async def held(self, call: str, failure: Callable[[], ProjectorError]) -> AsyncIterator[None]:
        """The same around a body that is all of one call, as a session of PostgreSQL is."""
        await self._turn(call)
        chance = self._random.random()
        if chance < self.refusal_rate:
            raise failure()
        with self._loop.real_io():
            yield
        if self.crashed:
            raise HostCrashed(self.name)
        if chance > 1 - self.refusal_rate / 2:
            raise failure()

    def io(self) -> AbstractContextManager[None]:
        """Real input and output outside of a gate, for what has to be cleaned up."""
        return self._loop.real_io()

    async def _turn(self, call: str) -> None:
        if self.crashed:
            raise HostCrashed(self.name)
        if self._random.random() < self.slow_rate:  # the world goes on meanwhile
            await asyncio.sleep(self._random.choice([0.01, 0.3, 3.0]))
        await self._loop.gate(f"{self.name}:{call}")
        while self._loop.time() < self.paused_until and not self.crashed:
            await self._sleep_through_pause()
        if self.crashed:
            raise HostCrashed(self.name)

    async def _sleep_through_pause(self) -> None:
        await asyncio.sleep(self.paused_until - self._loop.time() + 0.001)


def pinned(engine: Engine, rid: str) -> Container:
    """The cart container, if it is still that one."""
    try:
        container = engine.container(DATABASE, CART)
    except EmulatorError as error:
        raise SourceMissing(error.message) from error
    if container.rid != rid:
        raise SourceRecreated(expected_rid=rid, found_rid=container.rid)
    return container


class SimulatedSource:
    """`ChangeSource` and point reads over the engine."""

    def __init__(self, engine: Engine, passage: Passage, random: Random) -> None:
        self._engine = engine
        self._passage = passage
        self._random = random
        self._rid = engine.container(DATABASE, CART).rid

    def _container(self) -> Container:
        return pinned(self._engine, self._rid)

    def _failure(self) -> ProjectorError:
        if self._random.random() < 0.3:
            return Throttled(retry_after_seconds=self._random.uniform(0.01, 2))
        return SourceUnavailable("the simulated service does not answer")

    async def container_rid(self) -> str:
        async def act() -> str:
            return self._engine.container(DATABASE, CART).rid

        return await self._passage.cross("source.container_rid", self._failure, act)

    async def physical_ranges(self) -> Sequence[PhysicalRange]:
        async def act() -> Sequence[PhysicalRange]:
            return [
                PhysicalRange(
                    id=partition.range_id,
                    feed_range=FeedRange(min=partition.minimum, max=partition.maximum),
                    parents=partition.ancestors,
                )
                for partition in self._container().partitions()
            ]

        return await self._passage.cross("source.physical_ranges", self._failure, act)

    async def read_page(
        self, target: FeedTarget, continuation: Continuation | None, *, max_documents: int
    ) -> Page:
        async def act() -> Page:
            answer = self._feed(target, continuation, max_documents)
            return page_of(answer, self._container().rid)

        return await self._passage.cross("source.read_page", self._failure, act)

    async def resolve(self, target: FeedTarget, start: StartFrom) -> Position:
        async def act() -> Position:
            if start.kind is StartKind.NOW:
                answer = self._feed(target, Continuation("*"), 1)
                return Position(
                    continuation=Continuation(answer.etag), lsn=int(answer.etag.strip('"'))
                )
            if start.time is None:
                return Position(continuation=Continuation('"0"'), lsn=0)
            answer = self._feed(target, Since(timestamp=start.time.timestamp()), 1)
            lsn = int(answer.etag.strip('"'))
            if answer.status == 200:
                # It may be no JSON that anybody can read; the service's own fields stand last.
                lsn = int(_LSN.findall(answer.bodies[0])[-1]) - 1
            return Position(continuation=Continuation(f'"{lsn}"'), lsn=lsn)

        return await self._passage.cross("source.resolve", self._failure, act)

    async def rebuild(self) -> None:
        """There is no client to rebuild."""

    def lsn_of(self, continuation: Continuation) -> int | None:
        bare = continuation.strip('"')
        return int(bare) if bare.isdigit() else None

    def _feed(
        self, target: FeedTarget, start: Continuation | Since | None, most: int
    ) -> FeedResult:
        container = self._container()
        physical = {
            p.range_id: FeedRange(min=p.minimum, max=p.maximum) for p in container.partitions()
        }
        if target.range_id not in physical or not physical[target.range_id].covers(
            target.feed_range
        ):
            raise FeedRangeGone(f"range {target.range_id} is gone")
        try:
            return container.change_feed(
                target.range_id,
                start or Beginning(),
                start_epk=target.feed_range.min,
                end_epk=target.feed_range.max,
                max_items=most,
            )
        except EmulatorError as error:
            if error.status == _GONE:
                raise FeedRangeGone(error.message) from error
            raise SourceUnavailable(error.message) from error


def page_of(answer: FeedResult, rid: str) -> Page:
    """The engine's answer as the page that the SDK adapter would give."""
    body = None
    if answer.status == 200:
        body = b'{"_rid":"%s","Documents":[%s],"_count":%d}' % (
            rid.encode(),
            b",".join(answer.bodies),
            len(answer.bodies),
        )
    return Page(
        body=body,
        continuation=Continuation(answer.etag),
        lsn=int(answer.etag.strip('"')),
        session_lsn=answer.lsn,
        session_token=answer.session_token,
        size_bytes=len(body or b""),
        document_count=len(answer.bodies),
        request_units=answer.request_units,
    )


class SimulatedLeases:
    """`LeaseStore` and `BootstrapMarkers` over the engine's lease container, real documents."""

    def __init__(self, engine: Engine, passage: Passage, *, prefix: str, clock: Clock) -> None:
        self._engine = engine
        self._passage = passage
        self._prefix = prefix
        self._clock = clock

    async def list_leases(self) -> Sequence[Lease]:
        async def act() -> Sequence[Lease]:
            found = [json.loads(item.body) for item in self._container().documents()]
            mine = [item for item in found if item["id"].startswith(f"{self._prefix}..")]
            now = datetime.fromtimestamp(self._engine.now(), UTC)
            leases = [replace(lease_of(d), idle_seconds=idle_seconds(d, now)) for d in mine]
            return sorted(leases, key=lambda lease: lease.token)

        return await self._passage.cross("leases.list", _lease_failure, act)

    async def create(self, lease: Lease) -> bool:
        named = replace(lease, id=lease_id(self._prefix, lease.token), etag=None)
        return await self._passage.cross(
            f"leases.create {lease.token}", _lease_failure, lambda: self._create(document_of(named))
        )

    async def read(self, token: LeaseToken) -> Lease:
        async def act() -> Lease:
            document_id = lease_id(self._prefix, token)
            try:
                body = self._container().read(document_id, document_id).body
            except EmulatorError as error:
                raise _lease_error(error) from error
            return lease_of(json.loads(body or b"{}"))

        return await self._passage.cross(f"leases.read {token}", _lease_failure, act)

    async def replace(self, lease: Lease) -> Lease:
        async def act() -> Lease:
            try:
                answer = self._container().replace(
                    lease.id, document_of(lease), given=Preconditions(if_match=lease.etag)
                )
            except EmulatorError as error:
                raise _lease_error(error) from error
            return replace(lease, etag=answer.etag)

        return await self._passage.cross(f"leases.replace {lease.token}", _lease_failure, act)

    async def delete(self, lease: Lease) -> None:
        await self._passage.cross(
            f"leases.delete {lease.token}", _lease_failure, lambda: self._remove(lease.id)
        )

    async def is_initialized(self) -> bool:
        async def act() -> bool:
            try:
                self._container().read(f"{self._prefix}.info", f"{self._prefix}.info")
            except EmulatorError:
                return False
            return True

        return await self._passage.cross("leases.is_initialized", _lease_failure, act)

    async def mark_initialized(self) -> None:
        await self._passage.cross(
            "leases.mark", _lease_failure, lambda: self._create({"id": f"{self._prefix}.info"})
        )

    async def unmark(self) -> None:
        await self._passage.cross(
            "leases.unmark", _lease_failure, lambda: self._remove(f"{self._prefix}.info")
        )

    async def acquire_lock(self, *, seconds: int) -> bool:
        document = {"id": f"{self._prefix}.lock", "ttl": seconds}
        return await self._passage.cross(
            "leases.lock", _lease_failure, lambda: self._create(document)
        )

    async def release_lock(self) -> None:
        await self._passage.cross(
            "leases.unlock", _lease_failure, lambda: self._remove(f"{self._prefix}.lock")
        )

    def _container(self) -> Container:
        try:
            return self._engine.container(DATABASE, LEASE)
        except EmulatorError as error:
            raise _lease_error(error) from error

    async def _create(self, document: dict[str, object]) -> bool:
        try:
            self._container().create(document)
        except EmulatorError as error:
            if error.status == _CONFLICT:
                return False
            raise _lease_error(error) from error
        return True

    async def _remove(self, document_id: str) -> None:
        try:
            self._container().delete(document_id, document_id)
        except EmulatorError as error:
            if error.status != _NOT_FOUND:
                raise _lease_error(error) from error


def _lease_failure() -> ProjectorError:
    return LeaseStoreUnavailable("the simulated lease container does not answer")


def _lease_error(error: EmulatorError) -> ProjectorError:
    match error.status:
        case 404:
            return LeaseMissing(error.message)
        case 412:
            return LeaseConflict(error.message)
        case _:
            return LeaseStoreUnavailable(error.message)
