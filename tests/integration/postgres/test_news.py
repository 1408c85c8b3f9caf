"""What the target tells the timeline of by itself: with the fact, once, and never of a batch that failed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from projector.core.errors import FencedOut
from projector.core.names import InstanceName
from projector.core.ranges import FeedRange
from projector.ports.feed import Beginning, FormerOwner, Grant
from projector.ports.rows import Mended
from projector.postgres.connections import Connections
from projector.postgres.quarantine import discard_entry, list_entries, reopen_entry
from projector.postgres.resets import accept_new_source, request_replay
from projector.postgres.sink import PostgresSink
from projector.postgres.timeline import latest_entries
from tests.integration.postgres.carts import (
    NOWHERE,
    RID,
    apply,
    begun,
    claim,
    page,
    rejection,
    tombstone,
)

LEFT, RIGHT = FeedRange(min="", max="1F"), FeedRange(min="1F", max="FF")


async def told(connections: Connections) -> list[tuple[str, str]]:
    """What happened, oldest first, and who did it."""
    found = await latest_entries(connections, limit=100)
    return [(one.sentence, one.actor) for one in reversed(found)]


def bad(*numbers: int) -> Any:
    return page(
        *(tombstone("a", str(n), n) for n in numbers),
        rejections=[rejection("a", str(n), n) for n in numbers],
    )


@pytest.mark.parametrize(
    ("expired", "sentence"),
    [
        (True, "lease 0 taken over from host-a, which did not renew it"),
        (False, "lease 0 moved from host-a for a fair share"),
    ],
)
async def test_a_lease_that_is_taken_over_is_told_once_with_whose_it_was(
    connections: Connections, sink: PostgresSink, *, expired: bool, sentence: str
) -> None:
    await begun(sink)
    before = FormerOwner(name=InstanceName("host-a"), expired=expired)
    for _ in range(2):  # a range is opened again after each trouble
        await sink.open(replace(claim(owner="host-b"), taken_from=before))
    assert await told(connections) == [(sentence, "host-b")]


async def test_a_lease_that_was_given_back_is_no_news(
    connections: Connections, sink: PostgresSink
) -> None:
    await begun(sink)
    await sink.open(claim(owner="host-b"))
    assert await told(connections) == []


async def test_a_split_is_told_when_its_last_part_is_opened_and_a_merge_at_once(
    connections: Connections, sink: PostgresSink
) -> None:
    await begun(sink)
    await sink.open(claim("2", RIGHT))
    assert await told(connections) == []
    for _ in range(2):
        await sink.open(claim("1", LEFT, owner="host-b"))
    await sink.open(claim("2", RIGHT))
    split = ("range 0 split into 1 and 2", "host-b")
    assert await told(connections) == [split]
    for _ in range(2):
        await sink.open(claim("3"))
    assert await told(connections) == [split, ("ranges 1 and 2 merged into 3", "host-a")]


async def test_a_reset_tells_who_asked_for_what(
    connections: Connections, sink: PostgresSink
) -> None:
    await begun(sink)
    await request_replay(connections, RID, actor="ada@desk")
    await request_replay(connections, RID, [LEFT], actor="bob@desk")
    await accept_new_source(connections, "rid2", actor="ada@desk")
    assert await told(connections) == [
        ("reset of everything: it is read again (ranges 1)", "ada@desk"),
        ("reset of 0: it is read again (ranges 1)", "bob@desk"),
        ("another container is followed: everything (rid rid2)", "ada@desk"),
    ]


async def test_a_sweep_tells_what_it_removed_and_one_that_is_fenced_out_nothing(
    connections: Connections, sink: PostgresSink
) -> None:
    grant = await begun(sink, mark=9)
    stale = grant
    grant = await begun(sink, mark=9)
    with pytest.raises(FencedOut):
        await sink.verdicts.finish_replay(stale, swept=Mended(removed=1))
    await sink.verdicts.finish_replay(grant, swept=Mended(removed=3, unchanged=1))
    assert await told(connections) == [
        ("replay of range 0 swept, 3 removed (unchanged 1)", "host-a")
    ]


async def test_quarantined_documents_are_told_with_their_batch_and_counted_by_the_hour(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    stale = grant
    grant = await sink.begin(await sink.open(claim()), Beginning(position=NOWHERE))
    with pytest.raises(FencedOut):
        await apply(sink, stale, bad(1))
    assert await told(connections) == []
    await apply(sink, grant, bad(1, 2))
    await apply(sink, grant, bad(1, 2))  # a batch that is brought again opens nothing
    await apply(sink, grant, bad(3), at=4)
    (entry, *_) = await list_entries(connections)
    counts = [one.detail["documents"] for one in await latest_entries(connections, limit=10)]
    assert sum(counts) == 3  # perhaps of two hours
    oldest = (await latest_entries(connections, limit=10))[-1]
    assert oldest.detail["first_entry"] == entry.id
    assert oldest.detail["reason"] == "bad_quantity"


async def test_what_a_person_decides_about_an_entry_is_told_once(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, bad(1))
    (entry,) = await list_entries(connections)
    for _ in range(2):
        await discard_entry(connections, entry.id, actor="ada@desk")
    await reopen_entry(connections, entry.id, actor="ada@desk")
    assert (await told(connections))[1:] == [
        (f"quarantine entry {entry.id} discarded (reason bad_quantity)", "ada@desk"),
        (f"quarantine entry {entry.id} taken up again (reason bad_quantity)", "ada@desk"),
    ]


async def test_what_happens_to_another_generation_names_it(
    connections: Connections, sink: PostgresSink
) -> None:
    grant = await begun(sink, mark=9, processor="projector@g3")
    await sink.verdicts.finish_replay(grant, swept=Mended())
    assert await told(connections) == [
        ("replay of range 0 swept, 0 removed (generation 3)", "host-a")
    ]
