"""The list of what a host needs of Cosmos DB: names, keys, rights, containers, clock.

Nothing is left behind: one scratch document in the lease container is removed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from projector.core.errors import CredentialExpired, FeedRangeGone, PageTooLarge, SourceMissing
from projector.core.names import LeaseToken
from projector.core.start import check_not_ahead
from projector.cosmos.change_source import CosmosChangeSource
from projector.cosmos.client import CosmosGateway
from projector.cosmos.diagnosis import ContainerFacts, CosmosDiagnosis
from projector.cosmos.document_scan import CosmosDocumentScanner
from projector.cosmos.point_reads import CosmosPointReader
from projector.ports.feed import Clock, FeedTarget
from projector.projection.document import is_marker
from projector.projection.selection import KEY_PATH
from projector.settings import Settings
from projector.wiring.account import lease_path, source_path
from projector.wiring.clocks import skew
from projector.wiring.preconditions import Check, Finding, doubt, fault, fine

SAMPLE = 200
SUSPICIOUS_SHARE = 0.5
ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChecks:
    """The checks; `thorough` reads each partition and a sample, else one document of one."""

    settings: Settings
    clock: Clock
    gateway: CosmosGateway
    thorough: bool

    def listed(self) -> Sequence[Check]:
        """All of them, in the order in which a host meets what they are about."""
        return (
            Check(name="start position", look=self.start),
            Check(name="account and database", look=self.database),
            Check(name="container", look=self.container, needs=("account and database",)),
            Check(name="change feed", look=self.feed, needs=("container",)),
            Check(name="queries and point reads", look=self.reads, needs=("container",)),
            Check(name="lease container", look=self.leases, needs=("account and database",)),
        )

    async def start(self) -> Sequence[Finding]:
        """Whether the start position has come yet. Raises ConfigurationError."""
        check_not_ahead(self.settings.start_from, now=self.clock.now())
        return ()

    async def database(self) -> Sequence[Finding]:
        """Endpoint, key and the name of the database."""
        path = source_path(self.settings)
        await CosmosDiagnosis(self.gateway).database(path)
        endpoint = self.gateway.account.endpoint
        return [fine("account and database", f"{endpoint} has {path.database}")]

    async def container(self) -> Sequence[Finding]:
        """What the container's definition says."""
        path = source_path(self.settings)
        facts = await CosmosDiagnosis(self.gateway).container(path)
        return [
            fine("container", f"{path.container} has _rid {facts.rid}"),
            _partition_key(facts),
            _time_to_live(facts),
            skew(
                "clock of Cosmos DB",
                self.clock.now(),
                facts.service_time,
                resolution_seconds=1.0,
            ),
        ]

    async def feed(self) -> Sequence[Finding]:
        """Whether the change feed may be read; partitions that move meanwhile are listed again."""
        source = CosmosChangeSource(self.gateway, source_path(self.settings))
        for _ in range(ATTEMPTS):
            targets = await self._targets()
            try:
                for target in targets:
                    await _read(source, target)
            except FeedRangeGone:
                continue
            return [fine("change feed", f"{len(targets)} physical partitions answer")]
        return [_moving("change feed")]

    async def reads(self) -> Sequence[Finding]:
        """Whether documents may be read by id and by query; are most of them marked as deleted?"""
        check, path = "queries and point reads", source_path(self.settings)
        reader = CosmosPointReader(self.gateway, path)
        await reader.read('"projector.doctor"', "projector.doctor")
        scanner = CosmosDocumentScanner(self.gateway, path)
        most, ttls = SAMPLE if self.thorough else 1, []
        try:
            for target in await self._targets():
                ttls += _ttls((await scanner.scan(target, None, max_documents=most)).body)
        except FeedRangeGone:
            return [_moving(check)]
        seen, marked = len(ttls), sum(ttl is not None and is_marker(ttl) for ttl in ttls)
        if self.thorough and seen and marked / seen >= SUSPICIOUS_SHARE:
            return [
                doubt(
                    check,
                    f"{marked} of {seen} documents looked at bear a positive ttl;"
                    " each is taken as deleted",
                    "if live carts carry a ttl of their own, they cannot be told from deleted ones",
                )
            ]
        return [fine(check, f"{seen} documents looked at, {marked} of them marked as deleted")]

    async def leases(self) -> Sequence[Finding]:
        """The lease container: rights, and whether it lets leases expire."""
        check, path = "lease container", lease_path(self.settings)
        diagnosis = CosmosDiagnosis(self.gateway)
        try:
            facts = await diagnosis.container(path)
        except SourceMissing:
            told = f"{path.container} is not there yet; the first host creates it"
            if self.gateway.account.key is not None:
                return [fine(check, told)]
            return [
                doubt(
                    check,
                    told,
                    "with Entra a host may not: create it beforehand, partitioned on /id",
                )
            ]
        await diagnosis.write_scratch(path)
        found = fine(check, "documents can be created, replaced and deleted")
        return [found, *_lease_expiry(facts)]

    async def _targets(self) -> Sequence[FeedTarget]:
        source = CosmosChangeSource(self.gateway, source_path(self.settings))
        targets = [
            FeedTarget(lease_token=LeaseToken(one.id), feed_range=one.feed_range, range_id=one.id)
            for one in await source.physical_ranges()
        ]
        return targets if self.thorough else targets[:1]


async def _read(source: CosmosChangeSource, target: FeedTarget) -> None:
    """Ask for one document; the gateway makes a new client where a token is refused, and gives up."""
    while True:
        try:
            await source.read_page(target, None, max_documents=1)
        except PageTooLarge:  # it answers, and may be read
            return
        except CredentialExpired:
            continue
        else:
            return


def _moving(check: str) -> Finding:
    """A host waits for the end of that, so its start does, too."""
    return doubt(
        check,
        "the container's partitions are being split or merged just now",
        "nothing to do: a host waits for the end of that; look again in a minute",
    )


def _partition_key(facts: ContainerFacts) -> Finding:
    paths = ", ".join(facts.partition_key_paths)
    if facts.partition_key_paths == (KEY_PATH,):
        return fine("partition key", paths)
    return fault(
        "partition key",
        f"the container is partitioned on {paths}, not on {KEY_PATH}",
        "name the cart container in PROJECTOR_COSMOS_CONTAINER",
    )


def _time_to_live(facts: ContainerFacts) -> Finding:
    check, ttl = "time to live", facts.default_ttl
    if ttl is None:
        return doubt(
            check,
            "off: documents marked as deleted by their ttl never vanish from the container",
            "switch it on without a default (defaultTtl -1), in the container's settings",
        )
    if ttl > 0:
        return doubt(
            check,
            f"documents without a ttl of their own expire {ttl} s after their last change,"
            " and nothing in the change feed tells of it: their rows stay",
            "switch the default off (defaultTtl -1), in the container's settings, then type:"
            " projector verify --repair",
        )
    return fine(check, f"on, default {ttl}")


def _lease_expiry(facts: ContainerFacts) -> Sequence[Finding]:
    if facts.default_ttl is None or facts.default_ttl <= 0:
        return ()
    return (
        doubt(
            "time to live of the leases",
            f"documents of the lease container expire {facts.default_ttl} s after their last change;"
            " our leases say that they do not, those of other writers do",
            "switch the default off (defaultTtl -1), in the lease container's settings",
        ),
    )


class _Ttl(msgspec.Struct):
    ttl: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Page(msgspec.Struct):
    Documents: list[_Ttl]


def _ttls(body: bytes) -> list[bytes | None]:
    """The raw `ttl` of each document, None without one; none of a page that does not decode."""
    try:
        page = msgspec.json.decode(body, type=_Page)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    return [
        None if isinstance(one.ttl, msgspec.UnsetType) else bytes(one.ttl) for one in page.Documents
    ]
