"""The storage side of ending a replay: what was not seen, verdicts, and the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from projector.core.errors import FencedOut
from projector.core.ranges import FeedRange
from projector.ports.feed import Beginning, Grant
from projector.ports.rows import DocumentKey, Mended, Verdict
from projector.postgres.connections import Connections
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.quarantine import count_open
from projector.postgres.ranges import bounds
from projector.postgres.sink import PostgresSink
from projector.postgres.sweep import VerdictStore
from projector.projection.writes import Rejection, RowWrite
from tests.integration.postgres.carts import (
    NOWHERE,
    apply,
    begun,
    claim,
    epk_of,
    line,
    page,
    position,
    rejection,
    rows,
    tombstone,
    views,
)

LEFT, RIGHT = FeedRange(min="", max="20"), FeedRange(min="20", max="FF")


@pytest.fixture
def verdicts(connections: Connections) -> VerdictStore:
    return VerdictStore(connections, generation=FIRST_GENERATION)


def key(cart_id: str, document_id: str) -> DocumentKey:
    return DocumentKey(partition_key=f'"{cart_id}"', id=document_id)


def verdict(write: RowWrite) -> Verdict:
    return Verdict(key=key(write.key, write.id), lsn=write.lsn, write=write)


def numbered(lsn: int) -> Rejection:
    """A document in the cart 5, of which no row can exist."""
    return msgspec.structs.replace(rejection("a", "3", lsn), partition_key="5", key=None)


async def replayed(sink: PostgresSink) -> Grant:
    """Rows a/1 to a/9, then a replay that delivered only the even ones."""
    grant = await begun(sink)
    await apply(sink, grant, page(*(line("a", str(n), n) for n in range(1, 10))))
    grant = await sink.begin(grant, Beginning(position=NOWHERE, replay_mark_lsn=9))
    await apply(sink, grant, page(*(line("a", str(n), n) for n in range(2, 10, 2))))
    return grant


async def candidates(sink: PostgresSink, grant: Grant, limit: int = 2) -> Sequence[str]:
    found: list[DocumentKey] = []
    after: DocumentKey | None = None
    while True:
        step = await sink.verdicts.sweep_candidates(grant, after=after, limit=limit)
        if not step:
            return [one.id for one in found]
        found.extend(step)
        after = step[-1]


async def lines(connections: Connections) -> set[str]:
    return {row[1] for row in (await views(connections))["cart_items"]}


async def test_candidates_are_the_rows_that_the_replay_did_not_see(sink: PostgresSink) -> None:
    grant = await replayed(sink)
    assert await candidates(sink, grant) == ["1", "3", "5", "7", "9"]
    assert await candidates(sink, grant, limit=100) == ["1", "3", "5", "7", "9"]


async def test_candidates_go_on_from_any_key(sink: PostgresSink, connections: Connections) -> None:
    grant = await replayed(sink)
    await candidates(sink, grant)
    fresh = PostgresSink(connections)
    assert await fresh.verdicts.sweep_candidates(grant, after=key("a", "5"), limit=9) == [
        key("a", "7"),
        key("a", "9"),
    ]


async def test_seen_keys_are_remembered_without_touching_unchanged_rows(
    sink: PostgresSink, connections: Connections, grant: Grant
) -> None:
    everything = page(*(line("a", str(n), n) for n in range(1, 50)))
    await apply(sink, grant, everything)
    grant = await sink.begin(grant, Beginning(position=NOWHERE, replay_mark_lsn=9))
    await apply(sink, grant, everything)
    stamps = "SELECT id, xmin, xmax, ctid FROM projector_g1.cart_items ORDER BY id"
    async with connections.session() as session:
        before = await rows(session, stamps)
    await apply(sink, grant, everything)
    async with connections.session() as session:
        assert await rows(session, stamps) == before
    assert await candidates(sink, grant) == []


async def test_rejected_keys_count_as_seen(
    sink: PostgresSink, connections: Connections, grant: Grant
) -> None:
    seen = page(tombstone("a", "1", 3), rejections=[rejection("a", "1", 3)])
    unseen = page(tombstone("a", "2", 4), rejections=[rejection("a", "2", 4)])
    await apply(sink, grant, seen, unseen)
    grant = await sink.begin(grant, Beginning(position=NOWHERE, replay_mark_lsn=9))
    await apply(sink, grant, seen)
    assert await candidates(sink, grant) == ["2"]
    absent = Verdict(key=key("a", "2"), lsn=9, write=tombstone("a", "2", 9))
    await sink.verdicts.apply_verdicts(
        grant, mark=await sink.verdicts.mark(grant), verdicts=[absent]
    )
    assert await count_open(connections) == 1


async def test_rows_beside_a_rejected_document_count_as_seen(
    sink: PostgresSink, grant: Grant
) -> None:
    everything = [line("a", str(n), n) for n in range(1, 4)]
    await apply(sink, grant, page(*everything))
    grant = await sink.begin(grant, Beginning(position=NOWHERE, replay_mark_lsn=9))
    bad = rejection("b", "1", 10)
    await apply(sink, grant, page(*everything[:2], tombstone("b", "1", 10), rejections=[bad]))
    assert await candidates(sink, grant) == ["3"]


async def test_unreadable_entries_end_with_the_replay_that_missed_them(
    sink: PostgresSink, connections: Connections, grant: Grant
) -> None:
    unreadable = rejection("a", "\\x", 3, partition_key="\\abc", epk=None)
    await apply(sink, grant, page(rejections=[msgspec.structs.replace(unreadable, key=None)]))
    grant = await sink.begin(grant, Beginning(position=NOWHERE, replay_mark_lsn=9))
    assert await candidates(sink, grant) == []
    await sink.verdicts.finish_replay(grant)
    assert await count_open(connections) == 0


async def test_children_sweep_their_own_keys_only(sink: PostgresSink, grant: Grant) -> None:
    carts = [f"cart {n}" for n in range(20)]
    await apply(
        sink, grant, page(*(line(cart, "1", n + 1) for n, cart in enumerate(sorted(carts))))
    )
    await sink.begin(grant, Beginning(position=NOWHERE, replay_mark_lsn=9))
    found = []
    for token, keys in (("1", LEFT), ("2", RIGHT)):
        child = await sink.open(claim(token, keys))
        step = await sink.verdicts.sweep_candidates(child, after=None, limit=100)
        low, high = bounds(keys)
        names = [one.partition_key.strip('"') for one in step]
        assert names == [cart for cart in sorted(carts) if low <= epk_of(cart) <= high]
        found += names
    assert sorted(found) == sorted(carts)


async def test_a_child_knows_what_its_parent_saw(sink: PostgresSink) -> None:
    await replayed(sink)
    child = await sink.open(claim("1", FeedRange(min="", max="F")))
    assert await candidates(sink, child) == ["1", "3", "5", "7", "9"]


async def test_second_reset_forgets_what_the_first_replay_saw(
    sink: PostgresSink, connections: Connections
) -> None:
    grant = await replayed(sink)
    grant = await sink.begin(grant, Beginning(position=NOWHERE, replay_mark_lsn=9))
    assert len(await candidates(sink, grant)) == 9
    async with connections.session() as session:
        assert await rows(session, "SELECT count(*) FROM projector.replay_seen") == [(0,)]


async def test_absence_at_the_version_of_the_row_removes_it(
    sink: PostgresSink, connections: Connections
) -> None:
    """The last write of a quiet range expired: the answer's LSN is that of the row."""
    grant = await replayed(sink)
    done = await sink.verdicts.apply_verdicts(
        grant,
        mark=await sink.verdicts.mark(grant),
        verdicts=[verdict(tombstone("a", "9", 9)), verdict(tombstone("a", "3", 9))],
    )
    assert done == Mended(removed=2)
    assert await lines(connections) == {"1", "2", "4", "5", "6", "7", "8"}


async def test_a_late_page_at_the_version_of_the_absence_changes_nothing(
    sink: PostgresSink, connections: Connections
) -> None:
    grant = await replayed(sink)
    await sink.verdicts.apply_verdicts(
        grant, mark=await sink.verdicts.mark(grant), verdicts=[verdict(tombstone("a", "9", 9))]
    )
    for _ in range(2):
        late = await apply(sink, grant, page(line("a", "9", 9), line("a", "8", 8)))
        assert late.upserted == 0
    assert "9" not in await lines(connections)


async def test_document_found_after_its_absence_was_committed_came_back(
    sink: PostgresSink, connections: Connections
) -> None:
    """At one and the same LSN: expiry and its end are no writes."""
    grant = await replayed(sink)
    early = await sink.verdicts.mark(grant)
    absent = [verdict(tombstone("a", "9", 9, etag=""))]
    await sink.verdicts.apply_verdicts(grant, mark=await sink.verdicts.mark(grant), verdicts=absent)
    found = [verdict(line("a", "9", 9))]

    await sink.verdicts.apply_verdicts(grant, mark=early, verdicts=found)  # read before the absence
    assert "9" not in await lines(connections)
    done = await sink.verdicts.apply_verdicts(
        grant, mark=await sink.verdicts.mark(grant), verdicts=found
    )
    assert done == Mended(projected=1)
    assert "9" in await lines(connections)


async def test_what_a_replay_brings_though_it_was_absent_is_a_candidate(
    sink: PostgresSink, connections: Connections, grant: Grant
) -> None:
    bad = page(tombstone("a", "2", 2), rejections=[rejection("a", "2", 2)])
    number = page(rejections=[numbered(3)])
    everything = [page(line("a", "1", 1)), bad, number, page(tombstone("a", "4", 4))]
    await apply(sink, grant, *everything)
    mark = await sink.verdicts.mark(grant)
    gone = [
        verdict(tombstone("a", "1", 9, etag="")),
        verdict(tombstone("a", "2", 9, etag="")),
        Verdict(key=DocumentKey(partition_key="5", id="3"), lsn=9, write=None),
    ]
    await sink.verdicts.apply_verdicts(grant, mark=mark, verdicts=gone)
    assert await count_open(connections) == 0

    grant = await sink.begin(grant, Beginning(position=NOWHERE, replay_mark_lsn=9))
    assert await candidates(sink, grant) == []
    await apply(sink, grant, *everything)
    assert sorted(await candidates(sink, grant)) == ["1", "2", "3"]

    mark = await sink.verdicts.mark(grant)
    back = [
        verdict(line("a", "1", 9)),
        replace(verdict(tombstone("a", "2", 9)), rejection=rejection("a", "2", 9)),
        replace(gone[2], rejection=numbered(9)),
    ]
    await sink.verdicts.apply_verdicts(grant, mark=mark, verdicts=back)
    assert await lines(connections) == {"1"}
    assert await count_open(connections) == 2


async def test_absence_below_the_version_of_the_row_changes_nothing(
    sink: PostgresSink, connections: Connections
) -> None:
    grant = await replayed(sink)
    done = await sink.verdicts.apply_verdicts(
        grant, mark=await sink.verdicts.mark(grant), verdicts=[verdict(tombstone("a", "9", 8))]
    )
    assert done == Mended(unchanged=1)
    assert "9" in await lines(connections)


async def test_found_documents_are_projected_anew(
    sink: PostgresSink, connections: Connections
) -> None:
    grant = await replayed(sink)
    done = await sink.verdicts.apply_verdicts(
        grant,
        mark=await sink.verdicts.mark(grant),
        verdicts=[verdict(line("a", "3", 20, item="Pen"))],
    )
    assert done == Mended(projected=1)
    assert ("Pen", 1, 1) in (await views(connections))["item_totals"]
    late = await apply(sink, grant, page(line("a", "3", 15, item="Late")))
    assert late.upserted == 0


async def test_verdicts_of_another_lineage_are_refused(
    sink: PostgresSink, connections: Connections
) -> None:
    grant = await replayed(sink)
    before = await sink.verdicts.mark(grant)
    raised = await sink.begin(
        grant, Beginning(position=NOWHERE, replay_mark_lsn=9, raise_lineage=True)
    )
    with pytest.raises(FencedOut):
        await sink.verdicts.apply_verdicts(
            raised, mark=before, verdicts=[verdict(tombstone("a", "3", 99))]
        )
    assert len(await lines(connections)) == 9
    assert (await sink.verdicts.mark(raised)).lineage == grant.lineage + 1


async def test_an_older_owner_can_neither_look_nor_write_nor_finish(sink: PostgresSink) -> None:
    grant = await replayed(sink)
    before = await sink.verdicts.mark(grant)
    await sink.open(claim(owner="host-b"))
    with pytest.raises(FencedOut):
        await sink.verdicts.mark(grant)
    with pytest.raises(FencedOut):
        await sink.verdicts.sweep_candidates(grant, after=None, limit=9)
    with pytest.raises(FencedOut):
        await sink.verdicts.apply_verdicts(grant, mark=before, verdicts=[])
    with pytest.raises(FencedOut):
        await sink.verdicts.finish_replay(grant)


async def test_finished_replay_is_closed_and_forgotten(
    sink: PostgresSink, connections: Connections
) -> None:
    grant = await replayed(sink)
    await candidates(sink, grant)
    await sink.verdicts.finish_replay(grant)
    assert not (await sink.open(grant.claim)).replay_open
    async with connections.session() as session:
        for table in ("replay_seen", "replay_candidates"):
            assert await rows(session, f"SELECT count(*) FROM projector.{table}") == [(0,)]
        assert await rows(session, "SELECT seen_group FROM projector.ranges") == [(None,)]


async def test_hashes_stay_while_a_sibling_still_sweeps(
    sink: PostgresSink, connections: Connections
) -> None:
    await replayed(sink)
    left, right = await sink.open(claim("1", LEFT)), await sink.open(claim("2", RIGHT))
    await sink.verdicts.finish_replay(left)
    async with connections.session() as session:
        assert (await rows(session, "SELECT count(*) FROM projector.replay_seen"))[0][0] > 0
    await sink.verdicts.finish_replay(right)
    async with connections.session() as session:
        assert await rows(session, "SELECT count(*) FROM projector.replay_seen") == [(0,)]
        phases = await rows(session, "SELECT phase FROM projector.replays ORDER BY id")
    assert phases == [("inherited",), ("done",), ("done",)]


async def test_repairs_need_no_epoch_but_a_fresh_mark(
    sink: PostgresSink, connections: Connections, verdicts: VerdictStore
) -> None:
    grant = await replayed(sink)
    mark = await verdicts.read_mark(grant.range_id)
    assert mark is not None
    stranger = replace(grant, epoch=grant.epoch)
    gone = [verdict(tombstone("a", "3", 9))]
    assert await verdicts.apply_repairs(stranger, mark, gone) == Mended(removed=1)
    async with connections.session() as session:
        await session.execute("UPDATE projector.ranges SET purged_tick = %s", [mark.tick + 1])
    assert await verdicts.apply_repairs(stranger, mark, gone) is None
    await sink.begin(grant, Beginning(position=position(9), raise_lineage=True))
    assert await verdicts.apply_repairs(stranger, mark, gone) is None
    assert await verdicts.read_mark(grant.range_id + 1) is None
