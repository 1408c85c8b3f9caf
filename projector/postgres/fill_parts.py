"""Parts of a first load as rows of `fill_parts`: how they are cut, and what one row means.

A part is named as the lease that will follow the feed of its keys; see `projector.ports.filling`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import DictRow, dict_row

from projector.core.lease import DELIVERED_PROPERTY, START_FROM_PROPERTY, Lease
from projector.core.names import Continuation, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.splits import RANGE_ID_PROPERTY
from projector.core.start import Position
from projector.ports.filling import Part
from projector.ports.generations import FillPart, FillPhase
from projector.postgres.connections import Connections, Session

CUT = """
INSERT INTO {parts} (lease_token, version, range_id, min_epk, max_epk, expected, place, since)
VALUES (%(token)s, %(version)s, %(range_id)s, %(min)s, %(max)s, %(expected)s, %(place)s, %(since)s)"""

PARTS = """
SELECT *, phase = 'loaded' AND (SELECT bool_and(phase = 'loaded') FROM fill_parts)
  AND NOT EXISTS (SELECT FROM ranges) AS finishing
FROM fill_parts ORDER BY min_epk"""


async def cut_parts(
    session: Session,
    leases: Sequence[Lease],
    *,
    expected: int | None = None,
    table: str = "fill_parts",
) -> None:
    """Make these the parts; one that bears a bookmark begins there, at a START_FROM of a time."""
    for lease in leases:
        more = {
            "expected": expected,
            "place": lease.continuation,
            "since": lease.properties.get(START_FROM_PROPERTY),
        }
        await session.execute(CUT.replace("{parts}", table), {**named(lease), **more})


async def parts(connections: Connections) -> Sequence[FillPart]:
    """All parts as they are, lowest first."""
    async with connections.session() as session:
        return await parts_in(session)


async def parts_in(session: Session) -> Sequence[FillPart]:
    """The same, in the control tables that the names of this session stand for."""
    cursor = session.cursor(row_factory=dict_row)
    rows = await (await cursor.execute(PARTS)).fetchall()
    return [
        FillPart(
            feed_range=FeedRange(min=row["min_epk"], max=row["max_epk"]),
            phase=FillPhase.FINISHING if row["finishing"] else FillPhase(row["phase"]),
            documents=row["documents"],
            expected=row["expected"],
            request_units=row["request_units"],
            owner=row["owner"],
            error=row["error"],
        )
        for row in rows
    ]


def lease_of_part(row: DictRow) -> Lease:
    """The lease that follows the feed of a part, without a bookmark."""
    told = {} if row["range_id"] is None else {RANGE_ID_PROPERTY: row["range_id"]}
    if row["since"] is not None:
        told |= {START_FROM_PROPERTY: row["since"].isoformat(), DELIVERED_PROPERTY: "true"}
    return Lease(
        id=row["lease_token"],
        token=LeaseToken(row["lease_token"]),
        version=row["version"],
        feed_range=FeedRange(min=row["min_epk"], max=row["max_epk"]),
        properties=told,
    )


def anchor_of(row: DictRow) -> Position | None:
    """Where the source stood before a part was read; None: nobody has looked yet."""
    if row["anchor"] is None:
        return None
    return Position(continuation=Continuation(row["anchor"]), lsn=row["anchor_lsn"])


def part_of(row: DictRow) -> Part:
    """The part as the process that claimed it holds it."""
    return Part(
        part_id=row["id"],
        epoch=row["epoch"],
        lease=lease_of_part(row),
        lineage=row["lineage"],
        anchor=anchor_of(row),
        place=row["place"],
        batches=row["batches"],
    )


def named(lease: Lease) -> Mapping[str, Any]:
    """The columns that name a part."""
    keys = keys_of(lease)
    return {
        "token": lease.token,
        "version": lease.version,
        "range_id": lease.properties.get(RANGE_ID_PROPERTY),
        "min": keys.min,
        "max": keys.max,
    }


def keys_of(lease: Lease) -> FeedRange:
    """The keys of a part."""
    if lease.feed_range is None:
        raise ValueError(f"part {lease.token} does not tell its feed range")
    return lease.feed_range
