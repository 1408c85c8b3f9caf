"""Checks 108 and 109 on the wire: others read the leases of a real processor and get our gap."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from cosmos_emulator import EmulatorServer
from projector.changefeed import (
    ChangeContext,
    ChangeFeedEstimator,
    ChangeFeedProcessor,
    CosmosContainer,
    ProcessorTuning,
)
from projector.processor.estimator import gap_in_all
from tests.conformance.scalers import ForeignLease, KedaMetric, Outsider, Refused
from tests.fixtures.emulator import control, running_emulator
from tests.fixtures.emulator_wire import wire

NAME = "projector"
CART = "dbs/shop/colls/cart"
LEASE = "dbs/shop/colls/lease"
PATIENCE_SECONDS = 15.0
PATHS = ["/id", "/partitionKey"]
FIELDS = [
    "id",
    "version",
    "LeaseToken",
    "FeedRange",
    "Owner",
    "ContinuationToken",
    "properties",
    "timestamp",
    "Mode",
    "ttl",
]


@dataclass(slots=True, kw_only=True)
class Shop:
    """A container, its leases, and a processor that only counts."""

    server: EmulatorServer
    delivered: list[str] = field(default_factory=list)

    @property
    def outsider(self) -> Outsider:
        return Outsider(self.server, cart=CART, lease=LEASE, processor_name=NAME)

    def container(self, name: str) -> CosmosContainer:
        return CosmosContainer(
            endpoint=self.server.endpoint, key=self.server.key, database="shop", container=name
        )

    async def create(self, *, lease_path: str) -> None:
        await self._ask("POST", "dbs", {"id": "shop"})
        for name, path in (("cart", "/cartId"), ("lease", lease_path)):
            definition = {"id": name, "partitionKey": {"paths": [path], "kind": "Hash"}}
            await self._ask("POST", "dbs/shop/colls", definition)

    async def fill(self, count: int, *, prefix: str = "cart") -> None:
        for number in range(count):
            key = f"{prefix}-{number}"
            await self._ask("POST", f"{CART}/docs", {"id": key, "cartId": key}, key)

    async def put_lease(self, document: dict[str, Any], key: str) -> bool:
        """Replace a lease document as another program would; False when it changed meanwhile."""
        answer = await wire(
            self.server,
            "PUT",
            f"{LEASE}/docs/{document['id']}",
            document,
            headers={
                "x-ms-documentdb-partitionkey": json.dumps([key]),
                "If-Match": document["_etag"],
            },
        )
        return answer.status == 200

    async def _ask(self, method: str, path: str, body: object, key: str | None = None) -> None:
        headers = {} if key is None else {"x-ms-documentdb-partitionkey": json.dumps([key])}
        answer = await wire(self.server, method, path, body, headers=headers)
        assert answer.status in {200, 201}, answer.body

    @asynccontextmanager
    async def processor(self) -> AsyncIterator[None]:
        """A host that runs inside the block, with all bookmarks at the end on entering."""

        async def handle(changes: list[Any], _: ChangeContext) -> None:
            self.delivered += [change["id"] for change in changes]

        async with ChangeFeedProcessor(
            container=self.container("cart"),
            lease_container=self.container("lease"),
            handler=handle,
            processor_name=NAME,
            start_from="beginning",
            tuning=ProcessorTuning(poll_max_seconds=0.1),
        ):
            yield

    async def our_gap(self) -> int:
        async with ChangeFeedEstimator(
            container=self.container("cart"),
            lease_container=self.container("lease"),
            processor_name=NAME,
        ) as estimator:
            return gap_in_all(await estimator.estimate())

    async def caught_up(self) -> bool:
        leases = await self.outsider.leases()
        return (
            bool(leases)
            and all(lease.continuation for lease in leases)
            and sum((await self.outsider.net()).values()) == 0
        )


@asynccontextmanager
async def opened(path: str, *, documents: int = 0) -> AsyncIterator[Shop]:
    async with running_emulator(partitions=4) as server:
        shop = Shop(server=server)
        await shop.create(lease_path=path)
        await shop.fill(documents)
        yield shop


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():  # noqa: ASYNC110 - what is waited for lies behind HTTP
            await asyncio.sleep(0.05)


# The folder's tests run in virtual time; these meet sockets and bring a real loop of their own.


@pytest.mark.parametrize("path", PATHS)
def test_check_108_keda_net_and_java_get_our_gap(path: str) -> None:
    async def main() -> None:
        async with opened(path, documents=20) as shop:
            async with shop.processor():
                await until(shop.caught_up)
            await shop.fill(33, prefix="later")
            metric = await shop.outsider.keda()
            assert metric.total == await shop.our_gap() == 33
            assert sum((await shop.outsider.net()).values()) == 33
            assert sum((await shop.outsider.java()).values()) == 33
            assert metric.replicas(threshold=10) == min(4, metric.active)
            async with shop.processor():
                await until(shop.caught_up)
            assert len(shop.delivered) == 53
            assert await shop.outsider.keda() == KedaMetric(total=0, active=0, split=False)

    asyncio.run(main())


@pytest.mark.parametrize("path", PATHS)
def test_check_109_idle_fresh_deployment_has_no_lag(path: str) -> None:
    async def main() -> None:
        async with opened(path) as shop, shop.processor():
            await until(shop.caught_up)
            assert await shop.outsider.keda() == KedaMetric(total=0, active=0, split=False)
            assert set((await shop.outsider.net()).values()) == {0}
            assert set((await shop.outsider.java()).values()) == {0}

    asyncio.run(main())


@pytest.mark.parametrize("path", PATHS)
def test_stored_bytes_are_those_of_net(path: str) -> None:
    async def main() -> None:
        async with opened(path, documents=8) as shop, shop.processor():
            await until(shop.caught_up)
            documents = await shop.outsider.documents()
            leases = [one for one in documents if one.get("LeaseToken")]
            assert len(leases) == 4
            assert len(documents) == 5  # and `.info`
            for document in leases:
                _assert_bytes(document, path)

    asyncio.run(main())


def _assert_bytes(document: dict[str, Any], path: str) -> None:
    text = json.dumps(document, separators=(",", ":"))
    names = [name for name in document if not name.startswith("_")]
    wanted = [*FIELDS]
    if path == "/partitionKey":
        wanted.insert(1, "partitionKey")
        assert document["partitionKey"] == document["id"]
    assert names == wanted
    assert document["id"].startswith(f"{NAME}127.0.0.1_")
    assert document["id"].endswith(f"..{document['LeaseToken']}")
    assert re.search(r'"ContinuationToken":"\\"[0-9]+\\""', text)
    assert re.search(r'"version":0,"LeaseToken":"[0-9]+"', text)
    assert re.search(r'"FeedRange":\{"Range":\{"min":"[0-9A-F]*","max":"[0-9A-F]+"\}\}', text)
    assert re.search(r'"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z"', text)
    assert document["Mode"] == "Incremental Feed"
    assert all(isinstance(value, str) for value in document["properties"].values())


def test_split_while_nobody_runs_keeps_a_scaler_awake() -> None:
    async def main() -> None:
        async with opened("/id", documents=8) as shop:
            async with shop.processor():
                await until(shop.caught_up)
            await control(shop.server, f"{CART}/split", {"range": "0"})
            metric = await shop.outsider.keda()
            assert metric.split
            assert metric.replicas() == 1
            assert (await shop.outsider.net())["0"] == 1
            async with shop.processor():
                await until(shop.caught_up)
            assert not (await shop.outsider.keda()).split
            assert {lease.token for lease in await shop.outsider.leases()} >= {"4", "5"}

    asyncio.run(main())


def test_key_range_leases_after_a_merge_are_read_by_the_newer_trigger() -> None:
    async def main() -> None:
        async with opened("/id", documents=8) as shop:
            async with shop.processor():
                await until(shop.caught_up)
            await control(shop.server, f"{CART}/merge", {"ranges": ["0", "1"]})
            async with shop.processor():
                await until(shop.caught_up)
            leases = await shop.outsider.leases()
            assert sum(lease.version for lease in leases) == 2
            assert {lease.token for lease in leases if lease.version} == {
                "-".join(lease.bounds) for lease in leases if lease.version and lease.bounds
            }
            assert (await shop.outsider.keda()).total == await shop.our_gap() == 0

    asyncio.run(main())


@pytest.mark.parametrize("path", PATHS)
def test_running_host_keeps_fields_that_others_wrote(path: str) -> None:
    async def main() -> None:
        async with opened(path, documents=8) as shop, shop.processor():
            await until(shop.caught_up)

            async def annotated() -> bool:
                first = _lease_zero(await shop.outsider.documents())
                key = first.get("partitionKey", first["id"])
                note = {"team": {"pager": [1, 2]}, "PartitionId": "0"}
                return await shop.put_lease(first | note, key)

            await until(annotated)
            before = _lease_zero(await shop.outsider.documents())
            await shop.fill(40, prefix="more")

            async def moved() -> bool:
                lease = _lease_zero(await shop.outsider.documents())
                return bool(lease["ContinuationToken"] != before["ContinuationToken"])

            await until(moved)
            after = _lease_zero(await shop.outsider.documents())
            assert after["team"] == {"pager": [1, 2]}
            assert after["PartitionId"] == after["LeaseToken"] == "0"
            assert after["Owner"] == before["Owner"]
            await until(shop.caught_up)

    asyncio.run(main())


def _lease_zero(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return next(one for one in documents if one.get("LeaseToken") == "0")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"version": 2}, id="another version"),
        pytest.param({"LeaseToken": 0}, id="a number for a token"),
        pytest.param({"FeedRange": {"Range": {"min": "0a", "max": "FF"}}}, id="lower case"),
        pytest.param({"FeedRange": {"Range": {"min": "FF", "max": ""}}}, id="turned round"),
        pytest.param(
            {"FeedRange": {"Range": {"min": "", "max": "FF", "isMaxInclusive": True}}}, id="closed"
        ),
    ],
)
def test_the_model_of_keda_is_strict(changes: dict[str, Any]) -> None:
    good = {
        "version": 0,
        "LeaseToken": "0",
        "FeedRange": {"Range": {"min": "", "max": "FF"}},
        "ContinuationToken": '"1"',
    }
    assert ForeignLease.of(good).bounds == ("", "FF")
    with pytest.raises(Refused):
        ForeignLease.of(good | changes)
