"""What `status` and progress read, and what hosts report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from projector.core.names import Epoch, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.states import FailureCategory, RangeFailure, RangeState
from projector.ports.feed import Beginning, Grant, RangeReport
from projector.postgres.connections import Connections
from projector.postgres.ranges import live_ranges
from projector.postgres.reports import reports
from projector.postgres.resets import accept_new_source, request_replay
from projector.postgres.sink import PostgresSink
from tests.integration.postgres.carts import RID, apply, begun, claim, line, page, position, rows

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def report(grant: Grant, **changes: object) -> RangeReport:
    values: dict[str, object] = {
        "lease_token": grant.claim.lease_token,
        "feed_range": grant.claim.feed_range,
        "owner": grant.claim.owner,
        "state": RangeState.READING,
        "state_since": NOW,
        "epoch": grant.epoch,
        "range_id": grant.range_id,
        **changes,
    }
    return RangeReport(**values)  # type: ignore[arg-type]  # a table of fields


async def test_position_of_a_live_range(connections: Connections, sink: PostgresSink) -> None:
    opened = await sink.open(claim())
    assert [one.started for one in await live_ranges(connections, RID)] == [False]
    grant = await sink.begin(opened, Beginning(position=position(3), anchored_from="now"))
    anchored = (await live_ranges(connections))[0]
    assert (anchored.started, anchored.lsn, anchored.anchored_from) == (True, 3, "now")
    assert (anchored.position_time, anchored.replaying) == (None, False)
    await apply(sink, grant, page(line("a", "1", 7)), at=7)
    read = (await live_ranges(connections))[0]
    assert (read.continuation, read.lsn, read.anchored_from) == ('"7"', 7, None)
    assert read.position_time == datetime.fromtimestamp(1_790_000_007, UTC)
    assert read.last_commit_at is not None
    await request_replay(connections, RID)
    asked = (await live_ranges(connections))[0]
    assert (asked.started, asked.lsn, asked.replaying) == (False, None, True)


async def test_an_empty_page_keeps_time_and_anchor(
    connections: Connections, sink: PostgresSink
) -> None:
    grant = await sink.begin(
        await sink.open(claim()), Beginning(position=position(3), anchored_from="now")
    )
    await apply(sink, grant, at=9)
    found = (await live_ranges(connections))[0]
    assert (found.lsn, found.anchored_from, found.position_time) == (9, "now", None)


async def test_a_child_shows_the_time_of_its_parent(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 7)), at=7)
    await sink.open(claim("1", FeedRange(min="", max="20")))
    expected = datetime.fromtimestamp(1_790_000_007, UTC)
    assert [one.position_time for one in await live_ranges(connections)] == [expected]


async def test_reports_come_back_as_they_went(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    failure = RangeFailure(
        category=FailureCategory.TARGET,
        error_type="SinkUnavailable",
        message="disk full",
        first_seen_at=NOW,
        count=3,
        document_id="x",
    )
    sent = report(
        grant,
        last_poll_at=NOW + timedelta(seconds=1),
        gap_changes=0,
        lag_seconds=1.5,
        session_lsn=9,
        caught_up_at=NOW,
        failure=failure,
    )
    assert await sink.report([sent]) == frozenset()
    assert [one.report for one in await reports(connections)] == [sent]
    unknown = report(grant)
    await sink.report([unknown])
    assert [one.report for one in await reports(connections)] == [unknown]
    assert await sink.report([]) == frozenset()


async def test_a_lost_epoch_is_told_and_does_not_overwrite_the_next_owner(
    connections: Connections, sink: PostgresSink
) -> None:
    old = await begun(sink)
    next_owner = await sink.open(claim(owner="host-b"))
    assert await sink.report([report(next_owner)]) == frozenset()
    assert await sink.report([report(old, state=RangeState.FENCED_OUT)]) == {"0"}
    assert [one.report.owner for one in await reports(connections)] == ["host-b"]


async def test_a_range_that_could_not_be_opened_is_shown(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await sink.report([report(grant)])
    parked = report(grant, state=RangeState.SOURCE_RECREATED, epoch=Epoch(0), range_id=0)
    assert await sink.report([parked]) == frozenset()
    assert [one.report.state for one in await reports(connections)] == ["source_recreated"]
    stranger = report(
        grant, owner=InstanceName("host-c"), epoch=Epoch(0), range_id=0, state=RangeState.STOPPED
    )
    await sink.report([stranger])
    assert [one.report.state for one in await reports(connections)] == ["source_recreated"]


async def test_freshness_is_unknown_until_every_range_reports(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 7)), at=7)
    text = "SELECT feed_range, lag_seconds FROM carts.freshness ORDER BY feed_range = 'all'"
    async with connections.session() as session:
        assert await rows(session, text) == [("-FF", None), ("all", None)]
        await sink.report([report(grant, lag_seconds=2.0)])
        found = await rows(session, text)
    assert [name for name, _ in found] == ["-FF", "all"]
    assert all(2.0 <= lag < 60 for _, lag in found)
    assert LeaseToken("0") == grant.claim.lease_token
    assert grant.claim.feed_range == FULL_RANGE


async def test_keys_that_no_host_has_ever_read_make_the_whole_unknown(
    connections: Connections, sink: PostgresSink
) -> None:
    text = "SELECT feed_range, lag_seconds IS NOT NULL FROM carts.freshness ORDER BY feed_range = 'all', 1"
    async with connections.session() as session:
        assert await rows(session, text) == [("-FF", False), ("all", False)]
        for token, low, high in (("1", "20", "30"), ("2", "3F", "40")):
            grant = await begun(sink, token=token, keys=FeedRange(min=low, max=high))
            await sink.report([report(grant, lag_seconds=0.3)])
        assert await rows(session, text) == [
            ("-20", False),
            ("20-30", True),
            ("30-3F", False),
            ("3F-40", True),
            ("40-FF", False),
            ("all", False),
        ]
        for token, low, high in (("0", "", "20"), ("3", "30", "3F"), ("4", "40", "FF")):
            grant = await begun(sink, token=token, keys=FeedRange(min=low, max=high))
            await sink.report([report(grant, lag_seconds=0.3)])
        assert (await rows(session, text))[-1] == ("all", True)
        await session.execute("UPDATE projector.ranges SET retired_at = now() WHERE min_epk = '30'")
        assert ("30-3F", False) in await rows(session, text)
        assert (await rows(session, text))[-1] == ("all", False)


async def test_when_rows_were_complete_is_known_beyond_the_owner_who_said_so(
    connections: Connections, sink: PostgresSink
) -> None:
    old = await begun(sink)
    await sink.report([report(old, caught_up_at=NOW)])
    next_owner = await sink.open(claim(owner="host-b"))
    await sink.report([report(next_owner, state=RangeState.STARTING)])
    assert [one.complete_at for one in await reports(connections)] == [NOW]
    await sink.report([report(next_owner, caught_up_at=NOW - timedelta(seconds=9))])
    assert [one.complete_at for one in await reports(connections)] == [NOW]
    await accept_new_source(connections, "b0wPAAAAAAA=")
    assert [one.complete_at for one in await reports(connections)] == [None]
