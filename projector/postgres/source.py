"""Which container the rows are a copy of: its `_rid`, and the names beside it.

The `_rid` decides whether a range may be opened. The names tell a container that was created again
from one that a setting names by mistake; they go when another container is followed, until it is named.
"""

from __future__ import annotations

from psycopg.rows import dict_row

from projector.core.errors import ProjectionChanged, SourceRecreated
from projector.core.names import SourceIdentity, SourceName
from projector.ports.copy import CopiedSource
from projector.postgres.connections import Connections, Session

REGISTER = """
INSERT INTO projector.source (container_rid, accepted_at) VALUES (%s, now())
ON CONFLICT (one_row) DO NOTHING"""

DESCRIBE = """
UPDATE projector.source SET account = %(account)s, database_name = %(database)s,
  container_name = %(container)s, key_path = %(key_path)s, projection = %(projection)s
WHERE container_rid = %(rid)s AND
  (account, database_name, container_name, key_path, projection) IS DISTINCT FROM
  (%(account)s, %(database)s, %(container)s, %(key_path)s, %(projection)s)"""

LOOK = """
SELECT container_rid, account, database_name, container_name, projection
FROM projector.source"""


async def copied_source(session: Session) -> CopiedSource | None:
    """The container that is copied; None before the first opening."""
    cursor = session.cursor(row_factory=dict_row)
    row = await (await cursor.execute(LOOK)).fetchone()
    if row is None:
        return None
    if row["account"] is None:
        return CopiedSource(rid=row["container_rid"])
    name = SourceName(
        account=row["account"], database=row["database_name"], container=row["container_name"]
    )
    return CopiedSource(rid=row["container_rid"], name=name, projection=row["projection"])


async def register_source(
    session: Session, container_rid: str, *, projection: str | None = None
) -> None:
    """Remember the container that is copied; refuse any other one, and another projection of it.

    Raises:
        SourceRecreated: Another container was copied so far.
        ProjectionChanged: Its rows are those of another projection.
    """
    found = await copied_source(session)
    if found is None:
        await session.execute(REGISTER, [container_rid])
        found = await copied_source(session)
    if found is not None and found.rid != container_rid:
        raise SourceRecreated(expected_rid=found.rid, found_rid=container_rid, copied=found.name)
    stored = None if found is None else found.projection
    if None not in {projection, stored} and projection != stored:
        raise ProjectionChanged(stored=str(stored), configured=str(projection))


async def describe_source(session: Session, container_rid: str, identity: SourceIdentity) -> None:
    """Remember what the container is called and what is made of it."""
    await session.execute(
        DESCRIBE,
        {
            "rid": container_rid,
            "account": identity.name.account,
            "database": identity.name.database,
            "container": identity.name.container,
            "key_path": identity.key_path,
            "projection": identity.projection,
        },
    )


async def adopt_source(connections: Connections, rid: str, identity: SourceIdentity) -> None:
    """Remember container and names together, where none other is copied."""
    async with connections.transaction() as session:
        await session.execute(REGISTER, [rid])
        await describe_source(session, rid, identity)
