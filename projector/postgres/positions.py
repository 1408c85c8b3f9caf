"""What the tables say of ranges: how their owners report them, and the time of that, for `status`.

Read from any process, beside running hosts and without them. Unknown is None, never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from psycopg.rows import DictRow, dict_row

from projector.core.errors import SinkUnavailable
from projector.core.names import Epoch, InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.states import FailureCategory, RangeFailure, RangeState
from projector.ports.copy import StoredReport
from projector.ports.feed import RangeReport
from projector.postgres.connections import Connections

REPORTS = "SELECT * FROM projector.range_reports ORDER BY min_epk, lease_token"


async def database_time(connections: Connections) -> datetime:
    """The clock that all times in the tables are by."""
    async with connections.session() as session:
        row = await (await session.execute("SELECT now()")).fetchone()
    if row is None:  # pragma: no cover - a SELECT without FROM has one row
        raise SinkUnavailable("PostgreSQL told no time")
    return cast("datetime", row[0])


async def reports(connections: Connections) -> Sequence[StoredReport]:
    """The newest report of each lease token."""
    async with connections.session() as session:
        cursor = session.cursor(row_factory=dict_row)
        await cursor.execute(REPORTS)
        return [_report(row) for row in await cursor.fetchall()]


def _report(row: DictRow) -> StoredReport:
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
        failure=_failure(row["failure"]),
    )
    return StoredReport(
        report=report, reported_at=row["reported_at"], complete_at=row["complete_at"]
    )


def _failure(stored: dict[str, Any] | None) -> RangeFailure | None:
    if stored is None:
        return None
    return RangeFailure(
        category=FailureCategory(stored["category"]),
        error_type=stored["error_type"],
        message=stored["message"],
        first_seen_at=datetime.fromisoformat(stored["first_seen_at"]),
        count=stored["count"],
        document_id=stored["document_id"],
    )
