"""Whether the container of the settings is the one that the target copies.

The start of a host, `doctor` and every command that reaches both sides ask here, so that a typing
error in a name is told from a container that was created again, in the same words everywhere.
"""

from __future__ import annotations

from projector.core.source import SourceIdentity, SourceName
from projector.postgres.connections import Connections
from projector.postgres.source import CopiedSource, adopt_source, copied_source
from projector.projection.selection import EVERYTHING, KEY_PATH
from projector.settings import Settings
from projector.wiring.account import Account
from projector.wiring.preconditions import Finding, doubt, fine

COPY = "copy"


def identity_of(settings: Settings, name: SourceName) -> SourceIdentity:
    """What the target is to remember beside the `_rid`."""
    return SourceIdentity(name=name, key_path=KEY_PATH, projection=settings.selection.text)


async def copied(connections: Connections) -> CopiedSource | None:
    """What the target remembers. Raises SinkUnavailable."""
    async with connections.session() as session:
        return await copied_source(session)


async def refuse_others(connections: Connections, settings: Settings, opened: Account) -> None:
    """Raise unless the target copies this container, under this filter.

    Raises:
        OtherSource, SourceRecreated: It copies another one.
        ProjectionChanged: Its rows were made under another filter.
    """
    found = await copied(connections)
    if found is not None:
        identity = identity_of(settings, opened.name)
        found.refuse_other(opened.container_rid, identity)
        found.refuse_other_projection(identity, unfiltered=EVERYTHING.text)


async def look(
    connections: Connections, settings: Settings, name: SourceName, rid: str
) -> list[Finding]:
    """The same as a finding.

    Raises: as `refuse_others`.
    """
    found = await copied(connections)
    if found is None:
        return [fine(COPY, f"nothing is copied yet; it will be {name}")]
    identity = identity_of(settings, name)
    found.refuse_other(rid, identity)
    found.refuse_other_projection(identity, unfiltered=EVERYTHING.text)
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


async def adopt(connections: Connections, settings: Settings, name: SourceName, rid: str) -> None:
    """Remember it from now on, unless another container is followed."""
    await adopt_source(connections, rid, identity_of(settings, name))
