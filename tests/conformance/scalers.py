"""What others make of our leases: KEDA's trigger, .NET's and Java's estimators, over raw HTTP.

Written from the rules in their sources, with nothing of ours but the test client that signs
requests. Each reader is as strict as the original: what KEDA calls an error fails the test.
Source: KEDA 2.21 and 2.22 `azure-cosmosdb` scaler; .NET v3 estimator; Java `handleChanges`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator_wire import WireAnswer, wire

_HEX = re.compile(r"[0-9A-F]*")


class Refused(Exception):
    """KEDA gives up the whole evaluation over one lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignLease:
    """A lease as a program reads it that matches field names without case."""

    token: str
    continuation: str
    owner: str | None
    version: int
    bounds: tuple[str, str] | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read one document. Raises: Refused for a shape that KEDA does not take."""
        fields = {name.lower(): value for name, value in document.items()}
        version = fields.get("version", 0)
        if version not in {0, 1} or isinstance(version, bool):
            raise Refused(f"version {version!r}")
        for name in ("leasetoken", "continuationtoken", "owner"):
            if not isinstance(fields.get(name), str | None):
                raise Refused(f"{name} {fields[name]!r}")
        return cls(
            token=fields.get("leasetoken") or "",
            continuation=fields.get("continuationtoken") or "",
            owner=fields.get("owner"),
            version=version,
            bounds=_bounds(fields.get("feedrange")),
        )


def _bounds(feed_range: Any) -> tuple[str, str] | None:
    if feed_range is None:
        return None
    low, high = feed_range["Range"]["min"], feed_range["Range"]["max"]
    inclusive = feed_range["Range"].get("isMinInclusive", True)
    closed = feed_range["Range"].get("isMaxInclusive", False)
    if not (_HEX.fullmatch(low) and _HEX.fullmatch(high)) or not low < high <= "FF":
        raise Refused(f"range {low!r} to {high!r}")
    if not inclusive or closed:
        raise Refused("only half-open ranges")
    return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """What one read of one document said; `first_lsn` None when there was nothing."""

    gone: bool = False
    session: str = ""
    first_lsn: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaMetric:
    """What the trigger tells the autoscaler."""

    total: int
    active: int
    split: bool

    def replicas(self, threshold: int = 100) -> int:
        """Replicas that a deployment gets; 0 may scale to zero."""
        if self.split:
            return max(1, self.active)
        return min(self.active, math.ceil(self.total / threshold))


class Outsider:
    """A program that knows the accounts, the containers and the processor's name."""

    def __init__(
        self, server: EmulatorServer, *, cart: str, lease: str, processor_name: str
    ) -> None:
        self._server = server
        self._cart = cart
        self._lease = lease
        self._processor_name = processor_name

    async def documents(self) -> list[dict[str, Any]]:
        """Documents that KEDA looks at: by prefix, from all partitions, page by page."""
        label = (urlsplit(self._server.endpoint).hostname or "").split(".")[0]
        query = {
            "query": "SELECT * FROM c WHERE STARTSWITH(c.id, @prefix)",
            "parameters": [{"name": "@prefix", "value": f"{self._processor_name}{label}."}],
        }
        headers = {
            "content-type": "application/query+json",
            "x-ms-documentdb-isquery": "True",
            "x-ms-documentdb-query-enablecrosspartition": "True",
        }
        found: list[dict[str, Any]] = []
        more: str | None = ""
        while more is not None:
            paged = headers | ({"x-ms-continuation": more} if more else {})
            answer = await wire(
                self._server,
                "POST",
                f"{self._lease}/docs",
                json.dumps(query).encode(),
                headers=paged,
            )
            assert answer.status == 200, answer.body
            found += answer.json["Documents"]
            more = answer.headers.get("x-ms-continuation")
        return found

    async def leases(self) -> list[ForeignLease]:
        """The leases among them: whatever has a lease token."""
        leases = [ForeignLease.of(document) for document in await self.documents()]
        return [lease for lease in leases if lease.token]

    async def keda(self) -> KedaMetric:
        """One evaluation of the trigger. Raises: Refused."""
        total = active = 0
        split = fresh = False
        for lease in await self.leases():
            if lease.continuation and not lease.continuation.startswith('"'):
                raise Refused(f"continuation {lease.continuation!r}")
            unread = await self._read(lease)
            split = split or unread.gone
            if unread.first_lsn is None:
                continue
            lag = global_lsn(unread.session) - unread.first_lsn + 1
            if lag < 0:
                raise Refused(f"negative lag {lag}")
            total += lag
            if lease.continuation:
                active += int(lag > 0)
            else:
                fresh = fresh or lag > 0
        return KedaMetric(total=total, active=active + int(fresh), split=split)

    async def net(self) -> dict[str, int]:
        """The .NET estimator's lag by lease token."""
        lags: dict[str, int] = {}
        for lease in await self.leases():
            unread = await self._read(lease) if lease.continuation else Unread(gone=True)
            if unread.gone:
                lags[lease.token] = 1
                continue
            session = global_lsn(unread.session)
            last = session if unread.first_lsn is None else unread.first_lsn - 1
            lags[lease.token] = 1 if last < 0 else max(0, session - last)
        return lags

    async def java(self) -> dict[str, int]:
        """The lag of Java's `getEstimatedLag` by lease token; -1 where it cannot parse."""
        lags: dict[str, int] = {}
        for lease in await self.leases():
            unread = await self._read(lease)
            if unread.first_lsn is None:
                lags[lease.token] = 0
                continue
            parts = unread.session.split("#")
            latest = parts[0][parts[0].index(":") :] if len(parts) < 2 else parts[1]
            known = latest.isdecimal()
            lags[lease.token] = int(latest) - unread.first_lsn + 1 if known else -1
        return lags

    async def _read(self, lease: ForeignLease) -> Unread:
        """One document after the lease's token, sent back as it stands there."""
        headers = {"A-IM": "Incremental feed", "x-ms-max-item-count": "1"}
        if lease.continuation:
            headers["If-None-Match"] = lease.continuation
        if lease.version == 0:
            headers["x-ms-documentdb-partitionkeyrangeid"] = lease.token
        else:
            headers |= await self._route(lease)
        answer = await wire(self._server, "GET", f"{self._cart}/docs", headers=headers)
        return _unread(answer)

    async def _route(self, lease: ForeignLease) -> dict[str, str]:
        """Headers for a key-range lease, which KEDA reads from 2.22 on."""
        assert lease.bounds is not None
        low, high = lease.bounds
        answer = await wire(self._server, "GET", f"{self._cart}/pkranges")
        over = [
            one
            for one in answer.json["PartitionKeyRanges"]
            if one["minInclusive"] < high and low < one["maxExclusive"]
        ]
        if len(over) != 1:
            return {"x-ms-documentdb-partitionkeyrangeid": "split"}
        route = {"x-ms-documentdb-partitionkeyrangeid": over[0]["id"]}
        if (over[0]["minInclusive"], over[0]["maxExclusive"]) != lease.bounds:
            route |= {
                "x-ms-read-key-type": "EffectivePartitionKeyRange",
                "x-ms-start-epk": low,
                "x-ms-end-epk": high,
            }
        return route


def _unread(answer: WireAnswer) -> Unread:
    if answer.status == 410 and answer.substatus == 1002:
        return Unread(gone=True)
    if answer.status not in {200, 304}:
        raise Refused(f"status {answer.status}/{answer.substatus}: {answer.body!r}")
    documents = answer.json["Documents"] if answer.status == 200 else []
    return Unread(
        session=answer.headers["x-ms-session-token"],
        first_lsn=documents[0]["_lsn"] if documents else None,
    )


def global_lsn(session_token: str) -> int:
    """The LSN in `id:lsn`, `id:version#lsn` and `id:version#lsn#region=lsn`; 0 otherwise."""
    parts = session_token.partition(":")[2].split("#")
    number = parts[0] if len(parts) < 2 else parts[1]
    return int(number) if number.lstrip("-").isdecimal() else 0
