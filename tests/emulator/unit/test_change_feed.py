"""The change feed of one partition against what latest-version mode promises."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_emulator import EmulatorError, Engine
from cosmos_emulator.container import Container, FeedResult
from cosmos_emulator.feed import Since


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


def container_of(
    clock: Clock, *, partitions: int = 1, default_ttl: int | None = None, path: str = "/pk"
) -> Container:
    engine = Engine(now=clock, rng=random.Random(1))
    engine.create_database("d")
    definition: dict[str, Any] = {"id": "c", "partitionKey": {"paths": [path]}}
    if default_ttl is not None:
        definition["defaultTtl"] = default_ttl
    return engine.create_container("d", definition, partitions=partitions)


def ids(page: FeedResult) -> list[str]:
    return [json.loads(body)["id"] for body in page.bodies]


def test_only_the_newest_version_is_fed_in_order_of_change() -> None:
    container = container_of(Clock())
    for name in ("a", "b", "c", "a"):
        container.upsert({"id": name, "pk": "x"})
    page = container.change_feed("0")
    assert ids(page) == ["b", "c", "a"]
    assert [json.loads(body)["_lsn"] for body in page.bodies] == [2, 3, 4]
    assert page.etag == '"4"'


def test_a_page_says_where_to_go_on_and_the_end_is_not_modified() -> None:
    container = container_of(Clock())
    for number in range(5):
        container.create({"id": str(number), "pk": "x"})
    first = container.change_feed("0", max_items=2)
    second = container.change_feed("0", first.etag, max_items=10)
    end = container.change_feed("0", second.etag)
    assert (ids(first), ids(second)) == (["0", "1"], ["2", "3", "4"])
    assert (end.status, end.bodies, end.etag, end.request_units) == (304, [], '"5"', 1.0)


def test_not_modified_moves_past_deletes() -> None:
    container = container_of(Clock())
    container.create({"id": "1", "pk": "x"})
    read_to = container.change_feed("0").etag
    container.delete("1", "x")
    after = container.change_feed("0", read_to)
    assert (after.status, after.etag) == (304, '"2"')
    assert container.change_feed("0").status == 304


def test_a_time_starts_at_the_first_change_not_before_it() -> None:
    clock = Clock()
    container = container_of(clock)
    for number in range(3):
        clock.seconds = 1_000_000.0 + 10 * number
        container.create({"id": str(number), "pk": "x"})
    assert ids(container.change_feed("0", Since(timestamp=1_000_010))) == ["1", "2"]
    assert container.change_feed("0", Since(timestamp=1_000_021)).etag == '"3"'


def test_a_batch_stays_in_one_page() -> None:
    container = container_of(Clock())
    container.create({"id": "0", "pk": "x"})
    items = [
        {"operationType": "Create", "resourceBody": {"id": f"b{n}", "pk": "x"}} for n in range(5)
    ]
    container.batch(items, "x")
    container.create({"id": "9", "pk": "x"})
    pages, start = [], None
    while (page := container.change_feed("0", start, max_items=1)).bodies:
        pages.append(ids(page))
        start = page.etag
    assert pages == [["0"], ["b0", "b1", "b2", "b3", "b4"], ["9"]]


def test_a_page_stays_below_four_megabytes() -> None:
    container = container_of(Clock())
    for number in range(5):
        container.create({"id": str(number), "pk": "x", "text": "y" * 1_500_000})
    sizes, start = [], None
    while (page := container.change_feed("0", start)).bodies:
        assert sum(map(len, page.bodies)) < 4 * 1024 * 1024
        sizes.append(len(page.bodies))
        start = page.etag
    assert sizes == [2, 2, 1]


def test_a_batch_that_does_not_fit_waits_for_the_next_page() -> None:
    container = container_of(Clock())
    for number in range(2):
        container.create({"id": str(number), "pk": "x", "text": "y" * 1_900_000})
    batch = [
        {
            "operationType": "Create",
            "resourceBody": {"id": f"b{n}", "pk": "x", "text": "y" * 300_000},
        }
        for n in range(2)
    ]
    container.batch(batch, "x")
    first = container.change_feed("0")
    assert ids(first) == ["0", "1"]
    assert ids(container.change_feed("0", first.etag)) == ["b0", "b1"]


def test_a_sub_range_shows_its_own_keys_and_its_position_moves_past_the_others() -> None:
    container = container_of(Clock())
    for number in range(40):
        container.create({"id": str(number), "pk": f"k{number}"})
    middle = "2" + "0" * 31
    low = container.change_feed("0", end_epk=middle)
    high = container.change_feed("0", start_epk=middle)
    assert sorted(ids(low) + ids(high), key=int) == [str(n) for n in range(40)]
    assert ids(low)
    assert ids(high)
    assert container.change_feed("0", low.etag, end_epk=middle).etag == '"40"'


def test_an_expired_item_is_absent_even_from_the_beginning() -> None:
    clock = Clock()
    container = container_of(clock, default_ttl=-1)
    container.create({"id": "1", "pk": "x", "ttl": 3})
    container.create({"id": "2", "pk": "x"})
    assert ids(container.change_feed("0")) == ["1", "2"]
    clock.seconds += 3
    assert ids(container.change_feed("0")) == ["2"]
    assert container.change_feed("0", '"2"').etag == '"2"'
    assert container.purge() == 1
    assert container.change_feed("0", '"2"').etag == '"3"'


@pytest.mark.parametrize("continuation", ['"x"', "abc", "-1"])
def test_a_malformed_continuation_is_refused(continuation: str) -> None:
    with pytest.raises(EmulatorError) as caught:
        container_of(Clock()).change_feed("0", continuation)
    assert caught.value.status == 400


@pytest.mark.parametrize("continuation", ['"2"', "2", 'W/"2"'])
def test_a_continuation_is_taken_with_and_without_quotes(continuation: str) -> None:
    container = container_of(Clock())
    for number in range(3):
        container.create({"id": str(number), "pk": "x"})
    assert ids(container.change_feed("0", continuation)) == ["2"]


def test_many_versions_of_few_items_do_not_grow_the_log() -> None:
    container = container_of(Clock())
    for number in range(10_000):
        container.upsert({"id": str(number % 10), "pk": "x"})
    (partition,) = container.partitions()
    assert len(partition.slots()) < 3_000
    assert ids(container.change_feed("0")) == [str(number) for number in range(10)]


_STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "read"]), st.integers(0, 5), st.integers(1, 4)),
    max_size=60,
)


@given(_STEPS)
def test_a_reader_sees_the_newest_version_of_everything_that_stays(
    steps: list[tuple[str, int, int]],
) -> None:
    container, seen, kept = container_of(Clock(), partitions=2), {}, {}
    starts: dict[str, str | None] = {"0": None, "1": None}

    def read(most: int | None) -> bool:
        moved = False
        for range_id, start in starts.items():
            page = container.change_feed(range_id, start, max_items=most)
            seen.update({item["id"]: item["v"] for item in map(json.loads, page.bodies)})
            starts[range_id] = page.etag
            moved = moved or page.status == 200
        return moved

    for version, (action, number, size) in enumerate(steps):
        name = str(number)
        if action == "put":
            container.upsert({"id": name, "pk": name, "v": version})
            kept[name] = version
        elif action == "read":
            read(size)
        elif name in kept:
            container.delete(name, name)
            del kept[name]
    while read(None):
        pass
    assert {name: seen[name] for name in kept} == kept
    assert {json.loads(d.point_body)["id"] for d in container.documents()} == set(kept)
