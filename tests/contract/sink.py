"""What every `Sink` that keeps positions must do, the real one and the fake alike.

A subclass offers the fixture `sink`, an empty target, and `sweeper`, which ends its replays. Documents are carts, so that the real
target can project them. What the rows look like is tested elsewhere; here it is the fence, the
place, replays and their inheritance.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from projector.core.errors import FencedOut, SourceRecreated
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.start import Position
from projector.core.states import RangeState
from projector.ports.feed import Beginning, Grant, Page, RangeClaim, RangeReport, Sink, Sweeper
from tests.fakes.clock import START

RID = "rid1"
NOWHERE = Position(continuation=None, lsn=None)
LEFT, RIGHT = FeedRange(min="", max="20"), FeedRange(min="20", max="FF")


def claim(token: str = "0", keys: FeedRange = FULL_RANGE, **changes: Any) -> RangeClaim:
    """Who wants which range."""
    made = RangeClaim(
        container_rid=RID,
        processor_name="test",
        lease_token=LeaseToken(token),
        feed_range=keys,
        owner=InstanceName("a"),
    )
    return replace(made, **changes)


def position(lsn: int) -> Position:
    """A place in the feed."""
    return Position(continuation=Continuation(f'"{lsn}"'), lsn=lsn)


def document(cart: str, lsn: int, **fields: Any) -> dict[str, Any]:
    """A good cart document of that version."""
    return {
        "id": "1",
        "cartId": cart,
        "item": "Surface",
        "quantity": 1,
        **fields,
        "_rid": "x",
        "_etag": f'"{lsn}"',
        "_ts": 1_790_000_000 + lsn,
        "_lsn": lsn,
    }


def page_of(rid: str, *documents: dict[str, Any]) -> Page:
    """One page of the feed."""
    body = json.dumps({"_rid": rid, "Documents": documents, "_count": len(documents)}).encode()
    lsn = max((d["_lsn"] for d in documents), default=0)
    return Page(
        body=body,
        continuation=Continuation(f'"{lsn}"'),
        lsn=lsn,
        session_lsn=lsn,
        session_token=f"0:-1#{lsn}",
        size_bytes=len(body),
        document_count=len(documents),
    )


def report_of(grant: Grant, **changes: Any) -> RangeReport:
    made = RangeReport(
        lease_token=grant.claim.lease_token,
        feed_range=grant.claim.feed_range,
        owner=grant.claim.owner,
        state=RangeState.READING,
        state_since=START,
        epoch=grant.epoch,
        range_id=grant.range_id,
    )
    return replace(made, **changes)


class SinkContract:
    """Subclass it with the fixtures `sink` and `sweeper`."""

    async def apply(
        self, sink: Sink[Any], grant: Grant, at: Position, *documents: dict[str, Any]
    ) -> int:
        """Apply one page, or a place alone; documents upserted."""
        pages: Sequence[Any] = [sink.prepare(page_of(RID, *documents))] if documents else []
        return (await sink.apply(grant, pages, at)).upserted

    async def test_unknown_range_has_no_place(self, sink: Sink[Any]) -> None:
        grant = await sink.open(claim())
        assert grant.stored is None
        assert not any([grant.retired, grant.replay_requested, grant.replay_open])
        assert grant.keeps_positions

    async def test_committed_place_is_told_to_the_next_owner(self, sink: Sink[Any]) -> None:
        grant = await sink.open(claim())
        grant = await sink.begin(grant, Beginning(position=NOWHERE))
        assert await self.apply(sink, grant, position(7), document("a", 5), document("b", 7)) == 2
        again = await sink.open(claim(owner=InstanceName("b")))
        assert again.stored == position(7)
        assert again.epoch > grant.epoch

    async def test_place_moves_without_pages(self, sink: Sink[Any]) -> None:
        grant = await sink.begin(await sink.open(claim()), Beginning(position=NOWHERE))
        await self.apply(sink, grant, position(9))
        assert (await sink.open(claim())).stored == position(9)

    async def test_same_batch_again_changes_nothing(self, sink: Sink[Any]) -> None:
        grant = await sink.begin(await sink.open(claim()), Beginning(position=NOWHERE))
        batch = (document("a", 5), document("b", 7))
        await self.apply(sink, grant, position(7), *batch)
        assert await self.apply(sink, grant, position(7), *batch) == 0

    @pytest.mark.parametrize("work", ["apply", "begin", "sweep"])
    async def test_second_owner_fences_out_the_first(
        self, sink: Sink[Any], sweeper: Sweeper, work: str
    ) -> None:
        first = await sink.begin(
            await sink.open(claim()), Beginning(position=NOWHERE, replay_mark_lsn=0)
        )
        await sink.open(claim(owner=InstanceName("b")))
        works: dict[str, Callable[[], Awaitable[object]]] = {
            "apply": lambda: self.apply(sink, first, position(9), document("a", 9)),
            "begin": lambda: sink.begin(first, Beginning(position=position(9))),
            "sweep": lambda: sweeper.sweep(first, session_token=None),
        }
        with pytest.raises(FencedOut):
            await works[work]()
        assert (await sink.open(claim())).stored == NOWHERE

    async def test_children_retire_the_parent_and_take_over_its_place(
        self, sink: Sink[Any]
    ) -> None:
        parent = await sink.begin(await sink.open(claim()), Beginning(position=NOWHERE))
        await self.apply(sink, parent, position(7), document("a", 7))
        left = await sink.open(claim("1", LEFT))
        assert left.stored == position(7)
        with pytest.raises(FencedOut):
            await self.apply(sink, parent, position(9), document("b", 9))
        right = await sink.open(claim("2", RIGHT))
        assert right.stored == position(7)
        await self.apply(sink, left, position(11))
        assert (await sink.open(claim("2", RIGHT))).stored == position(7)

    async def test_retired_range_may_only_finish_its_split(self, sink: Sink[Any]) -> None:
        parent = await sink.begin(await sink.open(claim()), Beginning(position=NOWHERE))
        await self.apply(sink, parent, position(7), document("a", 7))
        left = await sink.open(claim("1", LEFT))
        await sink.open(claim("2", RIGHT))
        again = await sink.open(claim())
        assert again.retired
        assert again.stored == position(7)
        await self.apply(sink, left, position(8))  # the child was not fenced out by that
        with pytest.raises(FencedOut):
            await self.apply(sink, again, position(8), document("a", 8))

    async def test_replay_is_open_from_its_beginning_and_inherited(self, sink: Sink[Any]) -> None:
        grant = await sink.begin(
            await sink.open(claim()), Beginning(position=NOWHERE, replay_mark_lsn=42)
        )
        assert (grant.replay_open, grant.replay_mark_lsn) == (True, 42)
        again = await sink.open(claim(owner=InstanceName("b")))
        assert (again.replay_open, again.replay_mark_lsn) == (True, 42)
        child = await sink.open(claim("1", LEFT))
        assert (child.replay_open, child.replay_mark_lsn) == (True, 42)

    async def test_anchored_start_is_no_replay(self, sink: Sink[Any]) -> None:
        grant = await sink.begin(
            await sink.open(claim()), Beginning(position=position(5), anchored_from="now")
        )
        assert not grant.replay_open
        assert (await sink.open(claim())).stored == position(5)

    async def test_raised_lineage_lets_lower_lsns_win(self, sink: Sink[Any]) -> None:
        grant = await sink.begin(await sink.open(claim()), Beginning(position=NOWHERE))
        await self.apply(sink, grant, position(90), document("a", 90))
        assert await self.apply(sink, grant, position(91), document("a", 40)) == 0
        raised = await sink.begin(grant, Beginning(position=NOWHERE, raise_lineage=True))
        assert raised.lineage > grant.lineage
        assert await self.apply(sink, raised, position(41), document("a", 41, quantity=2)) == 1

    async def test_ranges_merged_into_one_start_a_new_lineage(self, sink: Sink[Any]) -> None:
        left = await sink.begin(await sink.open(claim("1", LEFT)), Beginning(position=position(5)))
        raised = Beginning(position=position(9), raise_lineage=True)
        right = await sink.begin(await sink.open(claim("2", RIGHT)), raised)
        merged = await sink.open(claim("3"))
        assert (merged.stored, merged.retired) == (None, False)
        assert merged.lineage > right.lineage > left.lineage

    async def test_another_container_is_refused(self, sink: Sink[Any]) -> None:
        await sink.open(claim())
        with pytest.raises(SourceRecreated) as caught:
            await sink.open(claim(container_rid="rid2"))
        assert (caught.value.expected_rid, caught.value.found_rid) == (RID, "rid2")

    async def test_probe_fences_nobody(self, sink: Sink[Any]) -> None:
        """A host of a former container asks which one is copied; its ranges had other bounds."""
        owner = await sink.begin(await sink.open(claim("1", LEFT)), Beginning(position=NOWHERE))
        await sink.open(claim(probe=True))
        await self.apply(sink, owner, position(7), document("a", 7))
        assert (await sink.open(claim("1", LEFT))).stored == position(7)
        with pytest.raises(SourceRecreated):
            await sink.open(claim(probe=True, container_rid="rid2"))

    async def test_report_names_the_ranges_that_others_own_by_now(self, sink: Sink[Any]) -> None:
        left = await sink.open(claim("1", LEFT))
        right = await sink.open(claim("2", RIGHT))
        assert await sink.report([report_of(left), report_of(right)]) == frozenset()
        await sink.open(claim("2", RIGHT, owner=InstanceName("b")))
        lost = await sink.report([report_of(left), report_of(right)])
        assert lost == {"2"}

    async def test_report_names_the_ranges_whose_commits_were_lost(self, sink: Sink[Any]) -> None:
        """A standby took over: it knows the epoch, and less than its owner has committed."""
        grant = await sink.begin(await sink.open(claim()), Beginning(position=NOWHERE))
        assert await sink.report([report_of(grant)]) == frozenset()
        assert await sink.report([report_of(grant, committed_lsn=7)]) == {"0"}
        await self.apply(sink, grant, position(7), document("a", 7))
        assert await sink.report([report_of(grant, committed_lsn=7)]) == frozenset()
        assert await sink.report([report_of(grant, committed_lsn=6)]) == frozenset()
        assert await sink.report([report_of(grant, committed_lsn=8)]) == {"0"}

    async def test_report_names_the_ranges_whose_ended_replay_is_open_again(
        self, sink: Sink[Any]
    ) -> None:
        """A standby took over that does not know of the end of the sweep."""
        begun = Beginning(position=NOWHERE, replay_mark_lsn=7)
        grant = await sink.begin(await sink.open(claim()), begun)
        assert await sink.report([report_of(grant)]) == frozenset()
        assert await sink.report([report_of(grant, replay_open=True)]) == frozenset()
        assert await sink.report([report_of(grant, replay_open=False)]) == {"0"}
        quiet = await sink.open(claim("1", LEFT))
        assert await sink.report([report_of(quiet, replay_open=None)]) == frozenset()

    async def test_report_of_a_range_that_could_not_be_opened_is_no_loss(
        self, sink: Sink[Any]
    ) -> None:
        grant = await sink.open(claim())
        report = report_of(grant, epoch=0, range_id=0, state=RangeState.SOURCE_RECREATED)
        assert await sink.report([report]) == frozenset()
