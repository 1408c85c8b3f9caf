"""The fakes keep the contracts that the real adapters keep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest

from projector.core.errors import (
    CredentialExpired,
    FeedError,
    PageTooLarge,
    SourceUnavailable,
    Throttled,
)
from tests.contract.change_source import RETRY_AFTER_SECONDS, ChangeSourceContract, Trouble
from tests.contract.lease_store import LeaseStoreContract
from tests.contract.sink import SinkContract
from tests.fakes.clock import FakeClock
from tests.fakes.container import FakeContainer
from tests.fakes.leases import FakeLeaseContainer, FakeLeaseStore, FakeMarkers
from tests.fakes.sink import FakeSink
from tests.fakes.source import FakeChangeSource

ERRORS: dict[Trouble, FeedError] = {
    Trouble.THROTTLED: Throttled(retry_after_seconds=RETRY_AFTER_SECONDS),
    Trouble.UNAVAILABLE: SourceUnavailable("down"),
    Trouble.PAGE_TOO_LARGE: PageTooLarge("reduce page size"),
    Trouble.CREDENTIAL_EXPIRED: CredentialExpired("aged"),
}


class _SourceWorld:
    def __init__(self) -> None:
        self._clock = FakeClock()
        self._container = FakeContainer(self._clock, partitions=4)
        self.source = FakeChangeSource(self._container, self._clock)

    def now(self) -> datetime:
        return self._clock.now()

    async def write(self, key: str, document_id: str, **fields: object) -> None:
        self._container.put(key, document_id, **fields)

    async def delete(self, key: str, document_id: str) -> None:
        self._container.delete(key, document_id)

    async def split(self, range_id: str) -> None:
        self._container.split(range_id)

    async def merge(self, range_ids: Sequence[str]) -> None:
        first, second = range_ids
        self._container.merge(first, second)

    async def recreate(self) -> None:
        self._container.recreate()

    async def disturb(self, trouble: Trouble) -> None:
        self.source.faults.plan("read", ERRORS[trouble])


class _LeaseWorld:
    def __init__(self) -> None:
        self._clock = FakeClock()
        self._container = FakeLeaseContainer(self._clock)
        self.store = FakeLeaseStore(self._container)
        self.markers = FakeMarkers(self._container)
        self.other_host = FakeLeaseStore(self._container)
        self.other_markers = FakeMarkers(self._container)
        self.other_processor = FakeLeaseStore(FakeLeaseContainer(self._clock))

    async def wipe(self) -> None:
        self._container.clear()

    async def advance(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class TestFakeChangeSource(ChangeSourceContract):
    @pytest.fixture
    async def world(self) -> _SourceWorld:
        return _SourceWorld()


class TestFakeLeaseStore(LeaseStoreContract):
    @pytest.fixture
    async def world(self) -> _LeaseWorld:
        return _LeaseWorld()


class TestFakeSink(SinkContract):
    @pytest.fixture
    async def sink(self) -> FakeSink:
        return FakeSink(FakeClock())

    @pytest.fixture
    async def sweeper(self, sink: FakeSink) -> FakeSink:
        return sink
