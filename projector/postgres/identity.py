"""Which database this is: an id of its own, which its failovers keep and its copies do not.

The id is made at the first look and stands in the database beside the server that it was made on.
A standby that took over is the same server by PostgreSQL's own identifier; a dump that was restored
elsewhere, or beside its original, is another one, and gets an id of its own.
"""

from __future__ import annotations

import uuid

from projector.core.errors import SinkUnavailable
from projector.ports.copy import TargetIdentity
from projector.postgres.connections import Connections

MAY_TELL = "SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"

HERE = """
SELECT {server} || '/' || d.oid, d.datname || COALESCE(
  ' at ' || host(inet_server_addr()) || ':' || inet_server_port(), ' on a local socket')
FROM pg_catalog.pg_database d WHERE d.datname = current_database()"""

STORED = "SELECT id::text, server FROM projector.target"

STORE = """
INSERT INTO projector.target AS t (id, server, made_at) VALUES (%(id)s, %(here)s, now())
ON CONFLICT (one_row) DO UPDATE
SET id = excluded.id, server = excluded.server, made_at = excluded.made_at
WHERE t.server <> excluded.server"""


async def identity(connections: Connections) -> TargetIdentity:
    """Look who this is. Raises: SinkUnavailable."""
    async with connections.session() as session:
        may_tell = await (await session.execute(MAY_TELL)).fetchone()
        server = "(SELECT system_identifier::text FROM pg_catalog.pg_control_system())"
        told = server if may_tell is not None and may_tell[0] else "'?'"
        where = await (await session.execute(HERE.replace("{server}", told))).fetchone()
        stored = await (await session.execute(STORED)).fetchone()
        if where is not None and (stored is None or stored[1] != where[0]):
            await session.execute(STORE, {"id": str(uuid.uuid4()), "here": where[0]})
            stored = await (await session.execute(STORED)).fetchone()
    if where is None or stored is None:  # pragma: no cover - both have one row by now
        raise SinkUnavailable("PostgreSQL did not tell which database it is")
    return TargetIdentity(id=stored[0], name=where[1])
