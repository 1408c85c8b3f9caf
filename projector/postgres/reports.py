"""The condition of each range as its owner reports it, for `status` in any process."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import msgspec

from projector.core.errors import SinkUnavailable
from projector.core.names import Epoch, InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.states import RangeFailure, RangeState
from projector.ports.copy import LastRelease, StoredReport
from projector.ports.feed import RangeReport
from projector.ports.ranges import OpenedRange
from projector.postgres.connections import Connections, JsonText

# The times of a report are by the clock of its host; how far that one is off, `told_at` tells.
# A report never replaces that of a newer epoch. One without a range (it could not even be opened)
# replaces its own host's, or one that nobody renews any more.
STORE = """
INSERT INTO range_reports AS p (lease_token, min_epk, max_epk, range_id, epoch, owner,
  state, state_since, last_poll_at, gap_changes, lag_seconds, session_lsn, caught_up_at, failure,
  reported_at, complete_at, read_through)
SELECT r.lease_token, r.min_epk, r.max_epk, r.range_id, r.epoch, r.owner, r.state,
  r.state_since + c.ahead, r.last_poll_at + c.ahead, r.gap_changes, r.lag_seconds, r.session_lsn,
  r.caught_up_at + c.ahead, r.failure, now(), r.caught_up_at + c.ahead, r.read_through
FROM json_to_recordset(%(reports)s::json) AS r(lease_token text, min_epk text, max_epk text,
  range_id bigint, epoch bigint, owner text, state text, state_since timestamptz,
  last_poll_at timestamptz, gap_changes bigint, lag_seconds double precision, session_lsn bigint,
  caught_up_at timestamptz, failure jsonb, told_at timestamptz, read_through jsonb)
CROSS JOIN LATERAL (SELECT COALESCE(now() - r.told_at, interval '0') AS ahead) AS c
ORDER BY r.lease_token
ON CONFLICT (lease_token) DO UPDATE SET
  min_epk = excluded.min_epk, max_epk = excluded.max_epk, range_id = excluded.range_id,
  epoch = excluded.epoch, owner = excluded.owner, state = excluded.state,
  state_since = excluded.state_since, last_poll_at = excluded.last_poll_at,
  gap_changes = excluded.gap_changes, lag_seconds = excluded.lag_seconds,
  session_lsn = excluded.session_lsn, caught_up_at = excluded.caught_up_at,
  failure = excluded.failure, reported_at = excluded.reported_at,
  complete_at = GREATEST(p.complete_at, excluded.complete_at),
  read_through = excluded.read_through
WHERE CASE WHEN excluded.range_id <> 0 THEN excluded.epoch >= p.epoch
  ELSE p.owner = excluded.owner OR p.reported_at < now() - interval '10 seconds' END"""

# Within an epoch a position never goes back and an ended replay stays so: one before what its owner
# committed, or open again, is that of a standby.
LOST = """
SELECT x.lease_token
FROM json_to_recordset(%(reports)s::json)
  AS x(lease_token text, range_id bigint, epoch bigint, committed_lsn bigint, replay_open bool)
LEFT JOIN ranges r ON r.id = x.range_id
WHERE x.range_id <> 0 AND (r.epoch IS DISTINCT FROM x.epoch OR r.lsn < x.committed_lsn
  OR r.continuation IS NULL AND x.committed_lsn IS NOT NULL
  OR NOT x.replay_open AND EXISTS (
    SELECT FROM replays p WHERE p.range_id = r.id AND p.phase = 'running'))"""


# Hosts report each second: one that was silent for ten does not count as alive.
OPENED = """
SELECT range_id, epoch FROM range_reports
WHERE range_id <> 0 AND reported_at > now() - interval '10 seconds'
  AND state NOT IN ('starting', 'stopped', 'fenced_out', 'source_recreated')"""

LAST_RELEASE = """
SELECT max(reported_at) FILTER (WHERE state = 'stopped' AND owner <> %(me)s)
  AS released_at, count(DISTINCT owner) AS hosts
FROM range_reports"""


REPORTS = "SELECT * FROM range_reports ORDER BY min_epk, lease_token"


async def store_reports(
    connections: Connections, reports: Sequence[RangeReport]
) -> frozenset[LeaseToken]:
    """Store the conditions; answer the tokens that the reporter has lost; see `Sink`."""
    if not reports:
        return frozenset()
    parameters = {"reports": JsonText(msgspec.json.encode([_row(report) for report in reports]))}
    async with connections.session() as session:
        await session.execute(STORE, parameters)
        cursor = await session.execute(LOST, parameters)
        return frozenset(LeaseToken(row[0]) for row in await cursor.fetchall())


async def opened_epochs(connections: Connections) -> frozenset[OpenedRange]:
    """The ranges that living hosts have opened."""
    async with connections.session() as session:
        cursor = await session.execute(OPENED)
        return frozenset((row[0], Epoch(row[1])) for row in await cursor.fetchall())


def _row(report: RangeReport) -> dict[str, object]:
    row: dict[str, object] = msgspec.to_builtins(report)
    row["min_epk"], row["max_epk"] = report.feed_range.min, report.feed_range.max
    return row


async def last_release(connections: Connections, *, beside: InstanceName) -> LastRelease:
    """Look for the last words of hosts that stopped."""
    (found,) = await connections.all_rows(LastRelease, LAST_RELEASE, {"me": beside})
    return found


async def database_time(connections: Connections) -> datetime:
    """The clock that all times in the tables are by."""
    row = await connections.first_row("SELECT now()")
    if row is None:  # pragma: no cover - a SELECT without FROM has one row
        raise SinkUnavailable("PostgreSQL told no time")
    return cast("datetime", row[0])


async def reports(connections: Connections) -> Sequence[StoredReport]:
    """The newest report of each lease token."""
    return [_report(row) for row in await connections.all_rows(dict, REPORTS)]


def _report(row: dict[str, Any]) -> StoredReport:
    report = RangeReport(
        lease_token=LeaseToken(row["lease_token"]),
        feed_range=FeedRange(min=row["min_epk"], max=row["max_epk"]),
        owner=InstanceName(row["owner"]),
        state=RangeState(row["state"]),
        state_since=row["state_since"],
        epoch=Epoch(row["epoch"]),
        range_id=row["range_id"],
        last_poll_at=row["last_poll_at"],
        gap_changes=row["gap_changes"],
        lag_seconds=row["lag_seconds"],
        session_lsn=row["session_lsn"],
        caught_up_at=row["caught_up_at"],
        failure=msgspec.convert(row["failure"], RangeFailure | None),
    )
    return StoredReport(
        report=report, reported_at=row["reported_at"], complete_at=row["complete_at"]
    )
