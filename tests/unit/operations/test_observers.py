from __future__ import annotations

from projector.core.names import Continuation, LeaseToken
from projector.core.states import CloseReason
from projector.operations.observers import Everybody, Tally
from projector.ports.feed import Applied, Page
from projector.telemetry.metrics import Metrics

TOKEN = LeaseToken("0")
PAGE = Page(
    body=b"{}",
    continuation=Continuation('"1"'),
    lsn=1,
    session_lsn=1,
    size_bytes=2,
    request_units=1.5,
)


async def test_everybody_is_told_everything() -> None:
    tally, metrics = Tally(), Metrics()
    everybody = Everybody(observers=[tally, metrics])
    await everybody.acquired(TOKEN)
    everybody.polled(TOKEN, PAGE)
    everybody.applied(
        TOKEN, Applied(delivered=5, upserted=2, removed=1, unchanged=1, rejected=1), seconds=0.1
    )
    await everybody.failed(TOKEN, ValueError("x"))
    await everybody.released(TOKEN, CloseReason.SHUTDOWN)
    told = {"lease_token": "0"}
    assert metrics.registry.get_sample_value("projector_request_units_total", told) == 1.5
    assert str(tally) == "5 documents delivered: 2 upserted, 1 removed, 1 unchanged, 1 rejected"
    assert (
        metrics.registry.get_sample_value(
            "projector_documents_delivered_total", {"lease_token": "0"}
        )
        == 5
    )


def test_a_tally_adds_up() -> None:
    tally = Tally()
    for _ in range(3):
        tally.applied(TOKEN, Applied(delivered=2, upserted=2), seconds=0.1)
    assert (tally.delivered, tally.upserted, tally.rejected) == (6, 6, 0)
