"""Splits and merges of physical partitions, and how clients learn of them."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest

from cosmos_emulator import EmulatorError, Engine
from cosmos_emulator.container import Container


@pytest.fixture
def now() -> list[float]:
    return [1_000_000.0]


@pytest.fixture
def container(now: list[float]) -> Container:
    engine = Engine(now=lambda: now[0], rng=random.Random(1), partitions=1)
    engine.create_database("d")
    container = engine.create_container("d", {"id": "c", "partitionKey": {"paths": ["/pk"]}})
    container.load({"id": str(n), "pk": f"k{n}"} for n in range(100))
    return container


def fed(container: Container, range_id: str, start: str | None = None) -> dict[str, int]:
    bodies = container.change_feed(range_id, start).bodies
    return {item["id"]: item["_lsn"] for item in map(json.loads, bodies)}


def tiles(container: Container) -> list[tuple[str, str]]:
    return [(partition.minimum, partition.maximum) for partition in container.partitions()]


def test_children_share_the_items_and_inherit_the_lsn(container: Container) -> None:
    before = fed(container, "0")
    assert container.split("0") == ["1", "2"]
    assert tiles(container) == [("", "2" + "0" * 31), ("2" + "0" * 31, "FF")]
    low, high = fed(container, "1"), fed(container, "2")
    assert {**low, **high} == before
    assert low.keys().isdisjoint(high)
    assert [partition.lsn for partition in container.partitions()] == [100, 100]


def test_children_accept_the_parents_continuation(container: Container) -> None:
    container.split("0")
    assert not fed(container, "1", '"100"')
    container.upsert({"id": "5", "pk": "k5"})
    assert {**fed(container, "1", '"100"'), **fed(container, "2", '"100"')} == {"5": 101}


def test_the_parent_is_gone(container: Container) -> None:
    container.split("0")
    with pytest.raises(EmulatorError) as caught:
        container.change_feed("0")
    assert (caught.value.status, caught.value.substatus) == (410, 1002)


def test_the_parent_says_for_a_while_that_its_split_completes(
    container: Container, now: list[float]
) -> None:
    container.split("0", completing_seconds=5)
    with pytest.raises(EmulatorError) as caught:
        container.change_feed("0")
    assert (caught.value.status, caught.value.substatus) == (410, 1007)
    now[0] += 5
    with pytest.raises(EmulatorError) as caught:
        container.change_feed("0")
    assert caught.value.substatus == 1002


def test_grandchildren_name_all_their_ancestors(container: Container) -> None:
    container.split("0")
    container.split("1")
    parents = {partition.range_id: partition.ancestors for partition in container.partitions()}
    assert parents == {"3": ("0", "1"), "4": ("0", "1"), "2": ("0",)}


def test_the_ranges_feed_tells_only_what_is_new(container: Container) -> None:
    first = container.pkranges(None)
    assert first is not None
    assert container.pkranges(first.version) is None
    container.split("0")
    second = container.pkranges(first.version)
    assert second is not None
    assert [partition.range_id for partition in second.partitions] == ["1", "2"]
    container.split("1")
    third = container.pkranges(second.version)
    assert third is not None
    assert [partition.range_id for partition in third.partitions] == ["3", "4"]
    assert len((container.pkranges(99) or third).partitions) == 3


def test_a_merge_goes_on_above_both_parents_and_keeps_what_was_written(
    container: Container,
) -> None:
    before = fed(container, "0")
    container.split("0")
    container.upsert({"id": "5", "pk": "k5"})
    highest = max(partition.lsn for partition in container.partitions())
    assert container.merge(["1", "2"]) == "3"
    (partition,) = container.partitions()
    assert (partition.lsn, set(partition.ancestors)) == (highest, {"0", "1", "2"})
    assert fed(container, "3") == {**before, "5": 101}
    container.upsert({"id": "6", "pk": "k6"})
    assert fed(container, "3", f'"{highest}"') == {"6": highest + 1}


def test_a_merge_below_its_parents_numbers_everything_anew(container: Container) -> None:
    order = list(fed(container, "0"))
    container.split("0")
    child = container.merge(["2", "1"], lsn=30)
    renumbered = fed(container, child)
    assert sorted(renumbered, key=lambda name: (renumbered[name], int(name))) == order
    assert max(renumbered.values()) == 30
    assert container.change_feed(child).session_token == "3:-1#30"
    assert json.loads(container.read("5", "k5").body or b"")["id"] == "5"
    container.upsert({"id": "5", "pk": "k5"})
    assert fed(container, child, '"30"') == {"5": 31}


@pytest.mark.parametrize("ranges", [["1"], ["1", "1"], ["1", "4"], []], ids=str)
def test_only_neighbours_merge(container: Container, ranges: list[str]) -> None:
    container.split("0")
    container.split("2")
    with pytest.raises(EmulatorError) as caught:
        container.merge(ranges)
    assert caught.value.status == 400


def test_the_key_space_stays_tiled_whatever_happens(container: Container) -> None:
    rng = random.Random(7)
    for _ in range(40):
        partitions = container.partitions()
        at = rng.randrange(len(partitions))
        if rng.random() < 0.6 or len(partitions) == 1:
            container.split(partitions[at].range_id)
        else:
            at = min(at, len(partitions) - 2)
            container.merge([p.range_id for p in partitions[at : at + 2]])
        found = tiles(container)
        assert (found[0][0], found[-1][1]) == ("", "FF")
        assert all(one[1] == two[0] for one, two in pairwise(found))
    assert len(list(container.documents())) == 100


def test_a_range_of_one_key_cannot_be_split(container: Container) -> None:
    range_id = "0"
    for _ in range(126):
        range_id = container.split(range_id)[0]
    with pytest.raises(EmulatorError) as caught:
        container.split(range_id)
    assert caught.value.status == 400
