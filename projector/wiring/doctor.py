"""Makes every check of a host's start without starting one, and tells what each found.

The checks stand in `source_checks` and `target_checks`; nothing is looked at here alone. A server
that is not there, or an embedded one that nobody has made yet, is said to be so and is not made.
"""

from __future__ import annotations

from dataclasses import dataclass

from projector.core.errors import ProjectorError
from projector.core.source import SourceName
from projector.cosmos.client import CosmosGateway
from projector.cosmos.diagnosis import CosmosDiagnosis
from projector.ports.feed import Clock
from projector.postgres.connections import Connections
from projector.postgres.embedded import exists_in
from projector.settings import Settings
from projector.wiring import database, source_identity
from projector.wiring.account import cosmos_account, source_path
from projector.wiring.connecting import connection_options
from projector.wiring.preconditions import (
    Check,
    Finding,
    examine,
    fine,
    refusal,
    skipped,
)
from projector.wiring.source_checks import SourceChecks
from projector.wiring.target_checks import SERVER, TargetChecks


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Makes the checks."""

    settings: Settings
    clock: Clock

    async def examine(self) -> list[Finding]:
        """All of them, in the order in which a host would meet what they are about."""
        try:
            account = cosmos_account(self.settings)
        except ProjectorError as error:
            return [refusal("endpoint", error), *await self._target(None)]
        async with CosmosGateway(account) as gateway:
            checks = SourceChecks(
                settings=self.settings, clock=self.clock, gateway=gateway, thorough=True
            )
            return [*await examine(checks.listed()), *await self._target(gateway)]

    async def _target(self, gateway: CosmosGateway | None) -> list[Finding]:
        folder = database.embedded_folder(self.settings)
        if folder is not None and not exists_in(folder):
            return [
                fine(SERVER, f"embedded, none in {folder} yet; projector run makes it"),
                skipped("schema", "there is no server to ask"),
            ]
        try:
            async with database.target_url(self.settings) as url:
                return await self._database(gateway, url)
        except ProjectorError as error:
            return [refusal(SERVER, error)]

    async def _database(self, gateway: CosmosGateway | None, url: str) -> list[Finding]:
        async with Connections(connection_options(self.settings, url)) as connections:
            checks = TargetChecks(
                settings=self.settings, clock=self.clock, connections=connections, url=url
            )
            listed = [*checks.before_schema(), *checks.with_schema()]
            if gateway is not None and (await _schema_is_there(url)):
                listed.append(self._copy(gateway, connections))
            return await examine(listed)

    def _copy(self, gateway: CosmosGateway, connections: Connections) -> Check:
        path = source_path(self.settings)
        name = SourceName(
            account=gateway.account.host, database=path.database, container=path.container
        )

        async def look() -> list[Finding]:
            facts = await CosmosDiagnosis(gateway).container(path)
            return await source_identity.look(connections, self.settings, name, facts.rid)

        return Check(name=source_identity.COPY, look=look, needs=(SERVER, "tables"))


async def _schema_is_there(url: str) -> bool:
    """Whether what is copied can be asked for; a server that is down is told of by its own check."""
    try:
        found, newest = await database.current(url)
    except ProjectorError:
        return False
    return found == newest
