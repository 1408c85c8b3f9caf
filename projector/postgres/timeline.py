"""The timeline: facts that are kept with who did them, and that nothing depends on.

An entry that is told inside the transaction of its fact commits with it or not at all, so what is tried
again is not told twice; whoever tells a fact outside of it gives `once`. The server's refusal of an entry
is undone to a savepoint and costs nothing but the entry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
import structlog

from projector.core.errors import ProjectorError
from projector.core.secrets import scrubbed
from projector.core.texts import printable
from projector.ports.timeline import Kind, TimelineEntry
from projector.postgres.connections import Connections, Session
from projector.postgres.errors import first_line, is_outage

FACT_NOT_KEPT = "fact_not_kept"

LONGEST_TEXT = 300
MOST_OF_A_KIND = 10_000
"""However many days are kept: a fact that repeats itself does not drive out the rare ones."""

# What is counted adds up within the hour, so that a flood of it is a handful of entries. Leases of two
# generations bear the same names.
RECORD = """
INSERT INTO projector.timeline AS t (happened_at, kind, subject, detail, actor, once)
VALUES (clock_timestamp(), %(kind)s, %(subject)s, %(detail)s::jsonb, %(actor)s,
  CASE WHEN %(counted)s::text IS NULL THEN %(once)s::text
    ELSE concat_ws(' ', %(kind)s::text, %(subject)s::text, 'g' || (%(detail)s::jsonb ->> 'generation'),
      to_char(now(), 'YYYY-MM-DD HH24')) END)
ON CONFLICT (once) DO UPDATE SET detail = t.detail || jsonb_build_object(%(counted)s::text,
  (t.detail ->> %(counted)s)::bigint + (excluded.detail ->> %(counted)s)::bigint)
WHERE %(counted)s::text IS NOT NULL"""

LATEST = """
SELECT id, happened_at, kind, subject, detail, actor FROM projector.timeline
WHERE happened_at >= COALESCE(%(since)s::timestamptz, now() - %(age)s::interval, '-infinity')
  AND kind <> ALL(%(without)s)
ORDER BY id DESC LIMIT %(limit)s"""

FORGET = """
DELETE FROM projector.timeline t USING (
  SELECT id, row_number() OVER (PARTITION BY kind ORDER BY id DESC) AS place
  FROM projector.timeline) p
WHERE t.id = p.id AND (t.happened_at < now() - %(age)s OR p.place > %(most)s)"""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def record(
    to: Connections | Session,
    kind: Kind,
    subject: str,
    detail: Mapping[str, Any],
    actor: str,
    *,
    once: str | None = None,
    counted: str | None = None,
) -> bool:
    """Keep a fact; False when it could not be kept, which is no reason to stop.

    Args:
        to: the session of the fact's own transaction, or connections for a fact that is done.
        kind: what happened.
        subject: what it happened to: a lease token, a generation, a snapshot; "" is the whole copy.
        detail: names and numbers that a person wants to see, by names of words_like_these.
        actor: the host, or the person as `user@machine`.
        once: tells the same fact when it is told again.
        counted: the number in `detail` that is added to the entry of this hour, if there is one.
    """
    if isinstance(to, Connections):
        try:
            async with to.session() as session:
                return await record(
                    session, kind, subject, detail, actor, once=once, counted=counted
                )
        except ProjectorError:
            return False
    entry = {
        "kind": kind,
        "subject": _clean(subject),
        "detail": json.dumps(_clean(detail)),
        "actor": _clean(actor),
        "once": once,
        "counted": counted,
    }
    try:
        async with to.transaction():  # a savepoint, where a transaction is open
            await to.execute(RECORD, entry)
    except psycopg.Error as error:
        if to.closed:
            raise
        if not isinstance(error, psycopg.errors.InsufficientPrivilege) and not is_outage(error):
            log.warning(FACT_NOT_KEPT, kind=kind, error=first_line(error))
        return False
    return True


def _clean(value: Any) -> Any:
    """No text steers a screen, is a secret, or is long."""
    match value:
        case str():
            shown = printable(scrubbed(value))
            return shown if len(shown) <= LONGEST_TEXT else f"{shown[: LONGEST_TEXT - 1]}…"
        case Mapping():
            return {str(name): _clean(one) for name, one in value.items()}
        case list() | tuple():
            return [_clean(one) for one in value]
        case _:
            return value


async def latest_entries(
    connections: Connections,
    *,
    limit: int,
    since: datetime | timedelta | None = None,
    without: Sequence[Kind] = (),
) -> Sequence[TimelineEntry]:
    """The newest ones since a time, or of so long, newest first. Raises SinkUnavailable."""
    asked = {
        "since": since if isinstance(since, datetime) else None,
        "age": since if isinstance(since, timedelta) else None,
        "limit": limit,
        "without": [str(one) for one in without],
    }
    return await connections.all_rows(TimelineEntry, LATEST, asked)


async def forget_entries(connections: Connections, *, age: timedelta) -> int:
    """Delete what is older, and of each kind what is too much; returns how many."""
    async with connections.session() as session:
        cursor = await session.execute(FORGET, {"age": age, "most": MOST_OF_A_KIND})
    return cursor.rowcount
