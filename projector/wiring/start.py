"""The start of a host: every precondition, in the order in which a mistake does the least harm.

First the target, before anything is made in it; then its schema; then the source; then whether both
belong together. A server that is down is waited for; a mistake ends the start with one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from projector.core.errors import SourceRecreated
from projector.ports.feed import Clock
from projector.postgres.connections import Connections
from projector.postgres.diagnosis import first_documents
from projector.settings import Settings
from projector.wiring import database, source_identity
from projector.wiring.account import Account
from projector.wiring.events import Event
from projector.wiring.plausibility import FIRST_DOCUMENTS, Plausibility
from projector.wiring.preconditions import Check, Finding, require
from projector.wiring.source_checks import SourceChecks
from projector.wiring.target_checks import TargetChecks
from projector.wiring.waiting import Patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Asks for what a host relies on."""

    settings: Settings
    clock: Clock
    patience: Patience

    async def target(self, connections: Connections, url: str, *, migrate: bool) -> None:
        """The database, its schema included; brings that up to date with `migrate`.

        Raises:
            ProjectorError: Only a person can mend it.
        """

        def checks() -> TargetChecks:
            return TargetChecks(
                settings=self.settings, clock=self.clock, connections=connections, url=url
            )

        await self._require_target(checks().before_schema())
        if migrate:
            role = self.settings.reader_role
            await database.upgrade(url, self.patience, reader_role=role)
        else:
            await database.check(url, self.patience)
        await self._require_target(checks().with_schema())

    async def source(self, opened: Account, connections: Connections) -> Plausibility:
        """The account, its containers, and that the target copies this one; what judges its documents.

        A container that was created again is left to the host, which shows it and keeps the rows.

        Raises:
            ProjectorError: Only a person can mend it.
        """
        checks = SourceChecks(
            settings=self.settings, clock=self.clock, gateway=opened.gateway, thorough=False
        )
        await require(
            checks.listed(),
            self.patience,
            failing=Event.SOURCE_UNAVAILABLE,
            back=Event.SOURCE_BACK,
        )
        name, rid = opened.name, opened.container_rid

        async def look() -> list[Finding]:
            found = await source_identity.look(connections, self.settings, name, rid)
            await source_identity.adopt(connections, self.settings, name, rid)
            return found

        with suppress(SourceRecreated):
            await self._require_target([Check(name=source_identity.COPY, look=look)])
        return await self._plausible(opened, connections)

    async def _plausible(self, opened: Account, connections: Connections) -> Plausibility:
        """The judge of documents, with what the copy holds already counted."""
        good, rejected = await self.patience.until_done(
            lambda: first_documents(connections, limit=FIRST_DOCUMENTS),
            failing=Event.TARGET_UNAVAILABLE,
            back=Event.TARGET_BACK,
        )
        return Plausibility(
            source=opened.name,
            limit=self.settings.max_rejected_share,
            good=good,
            rejected=rejected,
        )

    async def _require_target(self, checks: Sequence[Check]) -> None:
        await require(
            checks, self.patience, failing=Event.TARGET_UNAVAILABLE, back=Event.TARGET_BACK
        )
