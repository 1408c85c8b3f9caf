"""What a host needs of Cosmos DB: names, keys, rights, containers, clock; and the very container.

Nothing is left behind: one scratch document in the lease container is removed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from projector.core.errors import CredentialExpired, FeedRangeGone, PageTooLarge, SourceMissing
from projector.core.names import LeaseToken, SourceIdentity
from projector.core.start import StartFrom, check_not_ahead
from projector.operations.checks import Check, Finding, doubt, fault, fine, skew
from projector.ports.copy import CopiedSource
from projector.ports.diagnosis import ContainerFacts, SourceQuestions
from projector.ports.feed import ChangeSource, Clock, FeedTarget
from projector.projection.definition import Definition
from projector.projection.document import is_marker

COPY = "copy"
SAMPLE = 200
SUSPICIOUS_SHARE = 0.5
ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChecks:
    """The checks; `thorough` reads each partition and a sample, else one document of one."""

    ask: SourceQuestions
    definition: Definition
    start_from: StartFrom
    clock: Clock
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
        check_not_ahead(self.start_from, now=self.clock.now())
        return ()

    async def database(self) -> Sequence[Finding]:
        """Endpoint, key and the name of the database."""
        await self.ask.ask_database()
        told = f"{self.ask.endpoint} has {self.ask.database}"
        return [fine("account and database", told)]

    async def container(self) -> Sequence[Finding]:
        """What the container's definition says."""
        facts = await self.ask.ask_container()
        return [
            fine("container", f"{self.ask.container} has _rid {facts.rid}"),
            _partition_key(facts, self.definition),
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
        for _ in range(ATTEMPTS):
            targets = await self._targets()
            try:
                for target in targets:
                    await _read(self.ask.source, target)
            except FeedRangeGone:
                continue
            return [fine("change feed", f"{len(targets)} physical partitions answer")]
        return [_moving("change feed")]

    async def reads(self) -> Sequence[Finding]:
        """Whether documents may be read by id and by query; are most of them marked as deleted?"""
        check = "queries and point reads"
        await self.ask.reader.read('"projector.doctor"', "projector.doctor")
        most, ttls = SAMPLE if self.thorough else 1, []
        try:
            for target in await self._targets():
                ttls += _ttls((await self.ask.scanner.scan(target, None, max_documents=most)).body)
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
        check = "lease container"
        try:
            facts = await self.ask.ask_lease_container()
        except SourceMissing:
            told = f"{self.ask.lease_container} is not there yet; the first host creates it"
            if self.ask.has_key:
                return [fine(check, told)]
            return [
                doubt(
                    check,
                    told,
                    "with Entra a host may not: create it beforehand, partitioned on /id",
                )
            ]
        await self.ask.write_scratch()
        found = fine(check, "documents can be created, replaced and deleted")
        return [found, *_lease_expiry(facts)]

    async def _targets(self) -> Sequence[FeedTarget]:
        targets = [
            FeedTarget(lease_token=LeaseToken(one.id), feed_range=one.feed_range, range_id=one.id)
            for one in await self.ask.source.physical_ranges()
        ]
        return targets if self.thorough else targets[:1]


def refuse_others(found: CopiedSource | None, rid: str, identity: SourceIdentity) -> None:
    """Raise unless this container, under this filter, is what the target copies, or nothing yet.

    A typing error in a name is told from a container that was created again.

    Raises:
        OtherSource, SourceRecreated: It copies another one.
        ProjectionChanged: Its rows were made under another filter.
    """
    if found is not None:
        found.refuse_other(rid, identity)
        found.refuse_other_projection(identity)


def same_source(found: CopiedSource | None, rid: str, identity: SourceIdentity) -> list[Finding]:
    """The same as a finding.

    Raises: as `refuse_others`.
    """
    name = identity.name
    if found is None:
        return [fine(COPY, f"nothing is copied yet; it will be {name}")]
    refuse_others(found, rid, identity)
    if found.name is not None and found.name != name:
        return [
            doubt(
                COPY,
                f"{found.name} was copied so far; {name} has the same _rid {rid}",
                "if it is the same container under another name, nothing; if it is a restored copy of"
                " it, correct PROJECTOR_COSMOS_ENDPOINT",
            )
        ]
    return [fine(COPY, f"of {name}, {identity.projection}")]


async def _read(source: ChangeSource, target: FeedTarget) -> None:
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


def _partition_key(facts: ContainerFacts, definition: Definition) -> Finding:
    paths = ", ".join(facts.partition_key_paths)
    if facts.partition_key_paths == (definition.key_path,):
        return fine("partition key", paths)
    return fault(
        "partition key",
        f"the container is partitioned on {paths}, not on {definition.key_path}",
        f"name the {definition.noun} container in PROJECTOR_COSMOS_CONTAINER",
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
