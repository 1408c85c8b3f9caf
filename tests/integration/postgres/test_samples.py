"""Minutes for the console's plots, as several hosts add to them."""

from __future__ import annotations

from projector.postgres.connections import Connections
from projector.postgres.samples import add_sample, last_hour

BACK = "UPDATE projector.samples SET minute = minute - %s::interval"


async def test_hosts_add_to_one_minute_and_the_greatest_lag_counts(
    connections: Connections,
) -> None:
    for documents, lag in ((3, 1.0), (4, 2.5), (0, None), (1, 0.5)):
        await add_sample(connections, documents, lag)
    told = await last_hour(connections)
    assert sum(one.documents for one in told) == 8  # perhaps of two minutes
    assert max(one.lag_seconds or 0.0 for one in told) == 2.5
    assert any(one.unknown for one in told)


async def test_an_hour_is_shown_and_a_day_is_kept(connections: Connections) -> None:
    async def kept() -> int:
        return len(await connections.all_rows(dict, "SELECT FROM projector.samples"))

    await add_sample(connections, 1, 0.0)
    for back, shown, stored in (("2 hours", 1, 2), ("23 hours", 1, 2)):
        async with connections.session() as session:
            await session.execute(BACK, [back])
        await add_sample(connections, 1, 0.0)
        assert len(await last_hour(connections)) == shown
        assert await kept() == stored
