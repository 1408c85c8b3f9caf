"""Why rows went is told of each batch, and how long its markers leave a document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from projector.core.states import Removal
from projector.ports.feed import Grant
from projector.postgres.connections import Connections
from projector.postgres.sink import PostgresSink
from projector.projection.carts import CARTS
from projector.projection.project import Projection
from projector.projection.selection import Selection
from tests.integration.postgres.carts import begun, position

pytestmark = pytest.mark.postgres

MEANT = Selection.parse("type=line", None)
GOOD = {"type": "line", "item": "Pen", "quantity": 1}
MARKED = {**GOOD, "ttl": 300}
BAD = {**GOOD, "quantity": "two"}
OTHER = {"type": "note"}


def page_of(*documents: dict[str, Any], lsn: int) -> bytes:
    whole = [
        {"cartId": "1", "id": str(number), "_lsn": lsn, "_ts": 1_790_000_000, "_etag": f'"{lsn}"'}
        | one
        for number, one in enumerate(documents)
    ]
    return json.dumps({"_rid": "rid1", "Documents": whole, "_count": len(whole)}).encode()


@pytest.mark.parametrize(
    ("documents", "removed_by", "least_ttl"),
    [
        ([MARKED], Removal.MARKER, 300),
        ([MARKED, {**MARKED, "ttl": 60}, GOOD], Removal.MARKER, 60),
        ([{**GOOD, "ttl": -1}, MARKED], Removal.MARKER, 300),
        ([BAD], Removal.REJECTED, None),
        ([OTHER], Removal.NOT_MEANT, None),
        ([BAD, MARKED], Removal.MIXED, 300),
        ([OTHER, MARKED], Removal.MIXED, 300),
        ([BAD, OTHER], Removal.MIXED, None),
    ],
)
async def test_a_batch_tells_why_its_rows_went(
    connections: Connections,
    documents: list[dict[str, Any]],
    removed_by: Removal,
    least_ttl: int | None,
) -> None:
    projection = Projection(CARTS, selection=MEANT)
    sink = PostgresSink(connections, selection=MEANT)
    grant: Grant = await begun(sink)
    before = projection.page(page_of(GOOD, GOOD, GOOD, lsn=1))
    assert (await sink.apply(grant, [before], position(1))).least_ttl_seconds is None

    done = await sink.apply(grant, [projection.page(page_of(*documents, lsn=2))], position(2))

    assert done.removed == len(
        [one for one in documents if one is not GOOD and one.get("ttl") != -1]
    )
    assert done.removed_by is removed_by
    assert done.least_ttl_seconds == least_ttl
