"""Checks what a host will need, one thing after another, and says how to get what is missing.

A check that cannot be made because of another one is said to be skipped, not failed. Nothing is
left behind: one scratch document in the lease container is removed again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

import msgspec

from projector.core.errors import ConfigurationError, ProjectorError, SourceMissing
from projector.core.names import LeaseToken
from projector.core.start import check_not_ahead
from projector.cosmos.change_source import CosmosChangeSource
from projector.cosmos.client import LEASE_SETTINGS, ContainerPath, CosmosGateway
from projector.cosmos.diagnosis import ContainerFacts, CosmosDiagnosis
from projector.cosmos.document_scan import CosmosDocumentScanner
from projector.cosmos.point_reads import CosmosPointReader
from projector.ports.feed import Clock, FeedTarget
from projector.postgres.connections import Connections
from projector.postgres.diagnosis import ServerFacts, server_facts, strangers
from projector.postgres.encryption import Encryption
from projector.postgres.schema import Look
from projector.projection.document import is_marker
from projector.settings import Settings
from projector.wiring import database
from projector.wiring.account import cosmos_account
from projector.wiring.connecting import connection_options

T = TypeVar("T")
SKEW_SECONDS = 5.0
SAMPLE = 200
SUSPICIOUS_SHARE = 0.5
DATA_ROLE = (
    "with a key nothing is to be granted; with Entra: az cosmosdb sql role assignment create"
    " --account-name ... --resource-group ... --principal-id ... --scope /"
    ' --role-definition-name "Cosmos DB Built-in Data Contributor"'
)
GRANT_READER = (
    "GRANT USAGE ON SCHEMA carts TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA carts TO {role}"
)


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check; `remedy` says what to do, empty when there is nothing to do."""

    check: str
    verdict: Verdict
    detail: str
    remedy: str = ""


@dataclass(slots=True, kw_only=True)
class Doctor:
    """Runs the checks."""

    settings: Settings
    clock: Clock
    findings: list[Finding] = field(default_factory=list)

    async def examine(self) -> list[Finding]:
        """All checks, in the order in which a host would meet what they are about."""
        self._start()
        await self._cosmos()
        await self._postgres()
        return self.findings

    def _start(self) -> None:
        try:
            check_not_ahead(self.settings.start_from, now=self.clock.now())
        except ConfigurationError as error:
            self._say("start position", Verdict.FAILED, str(error))

    async def _cosmos(self) -> None:
        try:
            account = cosmos_account(self.settings)
        except ProjectorError as error:
            self._say("endpoint", Verdict.FAILED, str(error))
            return
        path = ContainerPath(
            database=self.settings.cosmos_database, container=self.settings.cosmos_container
        )
        async with CosmosGateway(account) as gateway:
            diagnosis = CosmosDiagnosis(gateway)
            async with self._check("account and database", remedy=DATA_ROLE):
                await diagnosis.database(path)
                self._say(
                    "account and database", Verdict.OK, f"{account.endpoint} has {path.database}"
                )
            facts = await self._container(diagnosis, path)
            if facts is None:
                for check in ("change feed", "queries and point reads"):
                    self._say(check, Verdict.SKIPPED, "there is no container to read")
            else:
                await self._reads(gateway, path)
            await self._leases(diagnosis)

    async def _container(
        self, diagnosis: CosmosDiagnosis, path: ContainerPath
    ) -> ContainerFacts | None:
        facts = await self._answer("container", lambda: diagnosis.container(path))
        if facts is None:
            return None
        self._say("container", Verdict.OK, f"{path.container} has _rid {facts.rid}")
        self._partition_key(facts)
        self._time_to_live(facts)
        self._skew("clock of Cosmos DB", facts.service_time, resolution_seconds=1.0)
        return facts

    def _partition_key(self, facts: ContainerFacts) -> None:
        paths = ", ".join(facts.partition_key_paths)
        if facts.partition_key_paths == ("/cartId",):
            self._say("partition key", Verdict.OK, paths)
            return
        self._say(
            "partition key",
            Verdict.FAILED,
            f"the container is partitioned on {paths}, not on /cartId",
            "name the cart container in PROJECTOR_COSMOS_CONTAINER",
        )

    def _time_to_live(self, facts: ContainerFacts) -> None:
        if facts.default_ttl is not None:
            self._say("time to live", Verdict.OK, f"on, default {facts.default_ttl}")
            return
        self._say(
            "time to live",
            Verdict.WARNING,
            "off: documents marked as deleted by their ttl never vanish from the container",
            "switch it on without a default (defaultTtl -1), in the container's settings",
        )

    async def _reads(self, gateway: CosmosGateway, path: ContainerPath) -> None:
        source = CosmosChangeSource(gateway, path)
        targets: list[FeedTarget] = []
        async with self._check("change feed", remedy=DATA_ROLE):
            targets = [
                FeedTarget(
                    lease_token=LeaseToken(one.id), feed_range=one.feed_range, range_id=one.id
                )
                for one in await source.physical_ranges()
            ]
            for target in targets:
                await source.read_page(target, None, max_documents=1)
            self._say("change feed", Verdict.OK, f"{len(targets)} physical partitions answer")
        async with self._check("queries and point reads", remedy=DATA_ROLE):
            await CosmosPointReader(gateway, path).read('"projector.doctor"', "projector.doctor")
            await self._sample(CosmosDocumentScanner(gateway, path), targets)

    async def _sample(self, scanner: CosmosDocumentScanner, targets: list[FeedTarget]) -> None:
        """A few documents of each partition: are most of them marked as deleted?"""
        seen = marked = 0
        for target in targets:
            page = await scanner.scan(target, None, max_documents=SAMPLE)
            for ttl in _ttls(page.body):
                seen += 1
                marked += ttl is not None and is_marker(ttl)
        if seen and marked / seen >= SUSPICIOUS_SHARE:
            self._say(
                "queries and point reads",
                Verdict.WARNING,
                f"{marked} of {seen} documents looked at bear a positive ttl; each is taken as deleted",
                "if live carts carry a ttl of their own, they cannot be told from deleted ones",
            )
            return
        self._say(
            "queries and point reads",
            Verdict.OK,
            f"{seen} documents looked at, {marked} of them marked as deleted",
        )

    async def _leases(self, diagnosis: CosmosDiagnosis) -> None:
        path = ContainerPath(
            database=self.settings.lease_database_name,
            container=self.settings.lease_container,
            settings=LEASE_SETTINGS,
        )
        async with self._check("lease container", remedy=DATA_ROLE):
            try:
                await diagnosis.container(path)
            except SourceMissing:
                self._say(
                    "lease container",
                    Verdict.WARNING,
                    f"{path.container} is not there yet; the first host creates it",
                    "with Entra a host may not: create it beforehand, partitioned on /id",
                )
                return
            await diagnosis.write_scratch(path)
            self._say(
                "lease container", Verdict.OK, "documents can be created, replaced and deleted"
            )

    async def _postgres(self) -> None:
        async with self._check("PostgreSQL"), database.target_url(self.settings) as url:
            async with Connections(connection_options(self.settings, url)) as connections:
                facts = await server_facts(connections, reader=self.settings.reader_role)
                self._say(
                    "PostgreSQL",
                    Verdict.OK,
                    f"{facts.version_text}, database {facts.database_name}",
                )
                look, newest = await database.look(url)
                if look.revision == newest:
                    await self._strangers(connections)
            self._way(look)
            self._rights(facts, migrated=look.revision == newest)
            self._reader(facts, migrated=look.revision == newest)
            self._migrations(look.revision, newest)
            self._skew("clock of PostgreSQL", facts.server_time)

    def _way(self, look: Look) -> None:
        """What protects the way there, and whether everything that counts is awake."""
        found = {
            Encryption.LOCAL: (Verdict.OK, "nothing leaves this machine"),
            Encryption.CHECKED: (Verdict.OK, "TLS, and the certificate is checked"),
            Encryption.UNCHECKED: (
                Verdict.OK,
                "TLS; sslmode=verify-full&sslrootcert=system in the URL checks the certificate too",
            ),
            Encryption.NONE: (Verdict.WARNING, "password and carts go in clear, as sslmode allows"),
        }
        verdict, detail = found[look.encryption]
        remedy = "switch TLS on at the server" if verdict is Verdict.WARNING else ""
        self._say("encryption", verdict, detail, remedy)
        if look.asleep:
            self._say("triggers", Verdict.FAILED, database.asleep(look.asleep))

    async def _strangers(self, connections: Connections) -> None:
        """Two processors over one target take its ranges from each other: right, and slow."""
        me = self.settings.processor_name
        for stranger in await strangers(connections, processor_name=me):
            self._say(
                "processor",
                Verdict.WARNING,
                f"another one, {stranger.name}, opened ranges of this target at"
                f" {stranger.opened_at:%Y-%m-%d %H:%M:%S %Z}; this one is {me}",
                "two over one target hinder each other: give all hosts one PROJECTOR_PROCESSOR_NAME",
            )

    def _rights(self, facts: ServerFacts, *, migrated: bool) -> None:
        missing = _missing_rights(facts, migrated=migrated)
        for detail, remedy in missing:
            self._say("PostgreSQL rights", Verdict.FAILED, detail, remedy)
        if not missing:
            self._say("PostgreSQL rights", Verdict.OK, f"{facts.user_name} may do what is needed")

    def _reader(self, facts: ServerFacts, *, migrated: bool) -> None:
        role = self.settings.reader_role
        name, grant = f"role {role}", GRANT_READER.format(role=role)
        if facts.reader_may_read is False:
            self._say(name, Verdict.WARNING, "it may not read the views", grant)
        elif facts.reader_may_read and facts.reader_elsewhere:
            self._say(
                name,
                Verdict.WARNING,
                f"whoever is given it here also reads {', '.join(facts.reader_elsewhere)}, which let it"
                " in, too: roles belong to the whole server",
                "where the readers differ: set PROJECTOR_READER_ROLE to a name of its own for this"
                " database and type: projector db upgrade",
            )
        elif facts.reader_exists:
            self._say(name, Verdict.OK, "it exists")
        elif not facts.may_create_roles:
            create = f"as an administrator: CREATE ROLE {role} NOLOGIN"
            self._say(
                name,
                Verdict.WARNING,
                f"it does not exist, and {facts.user_name} may not create it",
                f"{create}; {grant}" if migrated else create,
            )

    def _migrations(self, current: str | None, newest: str) -> None:
        if current == newest:
            self._say("schema", Verdict.OK, f"at {current}, the newest")
            return
        self._say(
            "schema",
            Verdict.WARNING,
            f"at {current or 'nothing'}, the newest is {newest}",
            "projector run brings it up to date, or type: projector db upgrade",
        )

    def _skew(
        self, check: str, theirs: datetime | None, *, resolution_seconds: float = 0.0
    ) -> None:
        if theirs is None:
            self._say(check, Verdict.SKIPPED, "it was not told")
            return
        seconds = abs((self.clock.now() - theirs).total_seconds())
        if seconds <= SKEW_SECONDS + resolution_seconds:
            self._say(check, Verdict.OK, f"{seconds:.1f} s from this machine's")
            return
        self._say(
            check,
            Verdict.WARNING,
            f"{seconds:.1f} s from this machine's; lags are shown wrong by as much",
            "synchronise the clocks (NTP); above 15 minutes requests are refused",
        )

    async def _answer(self, check: str, ask: Callable[[], Awaitable[T]]) -> T | None:
        """The answer; None when there is none, which is a finding."""
        try:
            return await ask()
        except ProjectorError as error:
            self._say(check, Verdict.FAILED, " ".join(str(error).split()), DATA_ROLE)
            return None

    @asynccontextmanager
    async def _check(self, check: str, *, remedy: str = "") -> AsyncIterator[None]:
        """What fails inside is a finding; an unexpected error goes up."""
        try:
            yield
        except ProjectorError as error:
            self._say(check, Verdict.FAILED, " ".join(str(error).split()), remedy)

    def _say(self, check: str, verdict: Verdict, detail: str, remedy: str = "") -> None:
        self.findings.append(Finding(check=check, verdict=verdict, detail=detail, remedy=remedy))


def _missing_rights(facts: ServerFacts, *, migrated: bool) -> list[tuple[str, str]]:
    """What the server or the user lacks, each with its remedy."""
    database_name, user = f'"{facts.database_name}"', f'"{facts.user_name}"'
    told = (
        (facts.read_only, "it takes no writes", "name the primary in PROJECTOR_DATABASE_URL"),
        (
            facts.encoding != "UTF8",
            f"its encoding is {facts.encoding}",
            "create the database with ENCODING 'UTF8'",
        ),
        (
            not facts.may_create_schemas and not migrated,
            f"{facts.user_name} may not create schemas",
            f"GRANT CREATE ON DATABASE {database_name} TO {user}",
        ),
        (
            not facts.may_create_temporary_tables,
            f"{facts.user_name} may not create temporary tables, which verify needs",
            f"GRANT TEMPORARY ON DATABASE {database_name} TO {user}",
        ),
    )
    return [(detail, remedy) for is_missing, detail, remedy in told if is_missing]


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


def failed(findings: list[Finding]) -> bool:
    """Whether something has to be put right before a host can work."""
    return any(one.verdict is Verdict.FAILED for one in findings)
