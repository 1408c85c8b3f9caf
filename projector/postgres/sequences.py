"""Sequences never give out a number that the tables hold already, wherever the tables come from.

Logical replication and copies of data alone bring rows, and leave every sequence at its start: epochs
would be below those of the rows, so that reports of live hosts are taken for old ones, and new entries
would bear the numbers of old ones. So whoever opens a range, asks for a replay, or meets a number that
is taken, looks first. Looking costs one short query; what is behind is raised under the lock of openings.

The right to change which ranges exist: one transaction at a time has it.

Where epochs come from.

A sequence orders them. Chance tells them apart: a database that fails over to a standby without its
last commits gives out the same numbers again, to other hosts and other ranges, and whoever still holds
an epoch of the lost history must not be taken for their owner.
"""

from __future__ import annotations

import psycopg

from projector.core.errors import SinkRefused
from projector.postgres.connections import Connections, Session

EPOCH_BITS = 20
"""How many bits of an epoch are left to chance."""

_NEXT = (
    f"((nextval('projector.epochs') << {EPOCH_BITS}) + floor(random() * {2**EPOCH_BITS})::bigint)"
)


def with_epochs(text: str) -> str:
    """The text with `{next_epoch}` filled in: above all that this database has given out."""
    return text.replace("{next_epoch}", _NEXT)


# A lock of a table needs rights on it; an advisory one can be taken by whoever may connect.
LOCK_OPENINGS = "LOCK TABLE projector.source IN SHARE ROW EXCLUSIVE MODE"


async def lock_openings(session: Session) -> None:
    """Wait for the right to change which ranges exist, until the transaction ends."""
    await session.execute(LOCK_OPENINGS)


# By sequence, what it must not fall behind; those of the generation and those that all share. Groups of seen keys are given to replays, and nowhere else.
HIGHEST: dict[str, str] = {
    "projector.epochs": """SELECT GREATEST(
    (SELECT max(GREATEST(epoch, opened_epoch)) FROM ranges),
    (SELECT max(epoch) FROM range_reports)) >> {bits}""",
    "projector.seen_groups": "SELECT max(seen_group) FROM replays",
    "ranges_id_seq": "SELECT max(id) FROM ranges",
    "replays_id_seq": "SELECT max(id) FROM replays",
    "replay_seen_part_seq": """SELECT max(s.part) FROM replays p
    JOIN replay_seen s ON s.seen_group = p.seen_group
    WHERE p.phase IN ('requested', 'running')""",
    "quarantine_id_seq": "SELECT max(id) FROM quarantine",
    "projector.timeline_id_seq": "SELECT max(id) FROM projector.timeline",
}

_VALUES = ", ".join(f"('{name}', ({query}))" for name, query in HIGHEST.items())
_BEHIND = """
FROM (VALUES {values}) AS s(name, highest)
WHERE s.highest > COALESCE(pg_sequence_last_value(s.name::regclass), 0)""".replace(
    "{values}", _VALUES.replace("{bits}", str(EPOCH_BITS))
)

BEHIND = "SELECT EXISTS (SELECT {behind})".replace("{behind}", _BEHIND)
RAISE = "SELECT setval(s.name::regclass, s.highest) {behind}".replace("{behind}", _BEHIND)


async def raise_sequences(connections: Connections) -> None:
    """Put every sequence above what the tables hold, if one is not.

    Raises:
        SinkUnavailable, SchemaMismatch.
        SinkRefused: One is behind, and this user may not raise it.
    """
    async with connections.session() as session:
        if not await _behind(session):
            return
    async with connections.transaction() as session:
        await lock_openings(session)
        try:
            await session.execute(RAISE)
        except psycopg.errors.InsufficientPrivilege as error:
            user = session.info.user
            raise SinkRefused(
                f"sequences are behind what the tables hold, as after a move, and {user} may not raise"
                f' them: GRANT UPDATE ON ALL SEQUENCES IN SCHEMA projector TO "{user}"'
            ) from error


async def _behind(session: Session) -> bool:
    row = await (await session.execute(BEHIND)).fetchone()
    return row is not None and bool(row[0])
