"""Items, sessions, batches and time to live, without HTTP."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from cosmos_emulator import EmulatorError, Engine
from cosmos_emulator.container import Container
from cosmos_emulator.writes import Preconditions


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def container(clock: Clock) -> Container:
    engine = Engine(now=clock, rng=random.Random(1))
    engine.create_database("d")
    definition = {"id": "c", "partitionKey": {"paths": ["/pk"]}, "defaultTtl": -1}
    return engine.create_container("d", definition)


def status_of(call: Callable[[], object]) -> tuple[int, int]:
    with pytest.raises(EmulatorError) as caught:
        call()
    return caught.value.status, caught.value.substatus


def test_items_with_the_same_id_live_apart_under_different_keys(container: Container) -> None:
    for key in ("a", "b", 1, True, None):
        container.create({"id": "1", "pk": key})
    container.create({"id": "1"})
    assert len(list(container.documents())) == 6
    body = container.read("1", {}).body
    assert body is not None
    assert "pk" not in json.loads(body)


def test_an_upsert_says_whether_it_created(container: Container) -> None:
    assert container.upsert({"id": "1", "pk": "a"}).status == 201
    assert container.upsert({"id": "1", "pk": "a"}).status == 200


def test_a_key_that_differs_from_the_document_is_refused(container: Container) -> None:
    body = {"id": "1", "pk": "a"}
    assert status_of(lambda: container.create(body, partition_key="b")) == (400, 1001)


def test_replace_keeps_the_resource_id_and_changes_the_tag(container: Container) -> None:
    first = container.create({"id": "1", "pk": "a", "n": 1})
    second = container.replace("1", {"id": "1", "pk": "a", "n": 2})
    assert second.etag != first.etag
    assert json.loads(second.body or b"")["_rid"] == json.loads(first.body or b"")["_rid"]
    assert status_of(lambda: container.replace("2", {"id": "2", "pk": "a"})) == (404, 0)


def test_replace_renames_an_item(container: Container) -> None:
    first = container.create({"id": "1", "pk": "a"})
    container.create({"id": "3", "pk": "a"})
    renamed = container.replace("1", {"id": "2", "pk": "a"})
    assert json.loads(renamed.body or b"")["_rid"] == json.loads(first.body or b"")["_rid"]
    assert {document.id for document in container.documents()} == {"2", "3"}
    assert status_of(lambda: container.read("1", "a")) == (404, 0)
    assert status_of(lambda: container.replace("2", {"id": "3", "pk": "a"})) == (409, 0)
    assert status_of(lambda: container.replace("2", {"id": "2", "pk": "b"})) == (404, 0)


def test_a_fresh_tag_lets_a_write_pass(container: Container) -> None:
    fresh = Preconditions(if_match=container.create({"id": "1", "pk": "a"}).etag)
    assert container.delete("1", "a", given=fresh).status == 204
    assert status_of(lambda: container.delete("1", "a")) == (404, 0)


def test_a_session_ahead_of_the_range_is_not_available(container: Container) -> None:
    written = container.create({"id": "1", "pk": "a"})
    range_id = written.session_token.split(":")[0]
    seen, ahead = f"{range_id}:-1#1", f"{range_id}:-1#2"
    assert container.read("1", "a", session=seen).status == 200
    assert status_of(lambda: container.read("1", "a", session=ahead)) == (404, 1002)
    assert status_of(lambda: container.change_feed(range_id, session=ahead)) == (
        404,
        1002,
    )


def test_time_to_live_counts_from_the_last_write(container: Container, clock: Clock) -> None:
    container.create({"id": "1", "pk": "a", "ttl": 10})
    clock.seconds += 9
    container.replace("1", {"id": "1", "pk": "a", "ttl": 10})
    clock.seconds += 9
    assert container.read("1", "a").status == 200
    clock.seconds += 1
    assert status_of(lambda: container.read("1", "a")) == (404, 0)
    assert status_of(lambda: container.replace("1", {"id": "1", "pk": "a"})) == (404, 0)
    assert container.create({"id": "1", "pk": "a"}).status == 201


def test_a_clock_that_goes_back_shows_what_was_not_yet_removed(
    container: Container, clock: Clock
) -> None:
    container.create({"id": "1", "pk": "a", "ttl": 10})
    clock.seconds += 20
    assert not list(container.documents())
    clock.seconds -= 20
    assert len(list(container.documents())) == 1


def test_another_default_applies_to_the_items_that_are_there(clock: Clock) -> None:
    engine = Engine(now=clock)
    engine.create_database("d")
    definition: dict[str, Any] = {"id": "c", "partitionKey": {"paths": ["/pk"]}}
    container = engine.create_container("d", definition)
    container.create({"id": "1", "pk": "a", "ttl": 3})
    clock.seconds += 5
    assert container.read("1", "a").status == 200
    engine.replace_container("d", "c", {**definition, "defaultTtl": 100})
    assert status_of(lambda: container.read("1", "a")) == (404, 0)
    assert engine.purge() == 1


def test_a_batch_takes_effect_under_one_lsn(container: Container) -> None:
    container.create({"id": "1", "pk": "a", "n": 1})
    result = container.batch(
        [
            {"operationType": "Create", "resourceBody": {"id": "2", "pk": "a"}},
            {"operationType": "Replace", "id": "1", "resourceBody": {"id": "1", "pk": "a", "n": 2}},
            {
                "operationType": "Patch",
                "id": "1",
                "resourceBody": {"operations": [{"op": "incr", "path": "/n", "value": 3}]},
            },
            {"operationType": "Read", "id": "1"},
            {"operationType": "Upsert", "resourceBody": {"id": "3", "pk": "a"}},
            {"operationType": "Delete", "id": "3"},
        ],
        "a",
    )
    assert [each.status for each in result.outcome.written] == [201, 200, 200, 200, 201, 204]
    assert result.lsn == 2
    assert {json.loads(d.body)["_lsn"] for d in container.documents()} == {2}
    assert json.loads(container.read("1", "a").body or b"")["n"] == 5


def test_a_refused_operation_undoes_its_batch(container: Container) -> None:
    container.create({"id": "1", "pk": "a"})
    result = container.batch(
        [
            {"operationType": "Delete", "id": "1"},
            {"operationType": "Create", "resourceBody": {"id": "2", "pk": "a"}},
            {"operationType": "Create", "resourceBody": {"id": "2", "pk": "a"}},
        ],
        "a",
    )
    assert result.outcome.status == 207
    assert result.outcome.refusals == [(424, 0), (424, 0), (409, 0)]
    assert [d.id for d in container.documents()] == ["1"]
    assert result.lsn == 1


def test_an_item_deleted_and_created_in_one_batch_is_a_new_item(container: Container) -> None:
    before = container.create({"id": "1", "pk": "a"})
    create = {"operationType": "Create", "resourceBody": {"id": "1", "pk": "a"}}
    container.batch([{"operationType": "Delete", "id": "1"}, create], "a")
    after = container.read("1", "a")
    assert json.loads(after.body or b"")["_rid"] != json.loads(before.body or b"")["_rid"]
    assert after.lsn == 2


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        pytest.param({"operationType": "Read", "id": "9"}, (404, 0), id="missing"),
        pytest.param(
            {"operationType": "Create", "resourceBody": {"id": "1", "pk": "b"}},
            (400, 1001),
            id="other key",
        ),
        pytest.param(
            {
                "operationType": "Replace",
                "id": "1",
                "resourceBody": {"id": "1", "pk": "a"},
                "ifMatch": '"x"',
            },
            (412, 0),
            id="stale",
        ),
        pytest.param({"operationType": "Nonsense"}, (400, 0), id="unknown"),
    ],
)
def test_a_batch_names_its_culprit(
    container: Container, operation: dict[str, Any], status: tuple[int, int]
) -> None:
    container.create({"id": "1", "pk": "a"})
    assert container.batch([operation], "a").outcome.refusals == [status]


def test_a_batch_has_a_bounded_number_of_operations(container: Container) -> None:
    read = {"operationType": "Read", "id": "1"}
    assert status_of(lambda: container.batch([read] * 101, "a")) == (400, 0)
    assert status_of(lambda: container.batch([], "a")) == (400, 0)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"id":"1","pk":"a","n":NaN}', id="NaN"),
        pytest.param(b'{"id":"1","pk":"a","n":1e400}', id="endless number"),
        pytest.param(b'{"id":"1","pk":"a","n":' + b"7" * 40 + b"}", id="forty digits"),
        pytest.param(b'{"id":"1","pk":"a","n":' + b"7" * 5000 + b"}", id="five thousand digits"),
        pytest.param(b'{"id":"1","pk":"a","t":"\xff\xfe"}', id="bad UTF-8"),
        pytest.param(b'{"id":"1","pk":"a","t":"\\ud800"}', id="lone surrogate"),
        pytest.param(b'{"id":"1","pk":"a","t":' + b"[" * 2000 + b"]" * 2000 + b"}", id="deep"),
    ],
)
def test_raw_bytes_are_served_as_they_came(container: Container, body: bytes) -> None:
    stored = container.upsert_raw(body)
    range_id = stored.session_token.split(":")[0]
    assert (container.read("1", "a").body or b"").startswith(body[:-1])
    assert container.change_feed(range_id).bodies[0].startswith(body[:-1])


def test_raw_bytes_that_cannot_be_read_need_their_identity_beside_them(
    container: Container,
) -> None:
    body = b'{"n": oops}'
    assert status_of(lambda: container.upsert_raw(body)) == (400, 0)
    assert container.upsert_raw(body, item_id="1", partition_key="a").status == 201
    assert container.upsert_raw(body, item_id="1", partition_key="a").status == 200
    assert status_of(lambda: container.upsert_raw(b"oops", item_id="1", partition_key="a")) == (
        400,
        0,
    )


def test_loading_many_documents_is_upserting_them(container: Container) -> None:
    documents = [{"id": str(n), "pk": f"k{n}"} for n in range(100)]
    assert container.load(documents) == 100
    assert container.load([b'{"id":"1","pk":"k1","n":2}']) == 1
    assert len(list(container.documents())) == 100
    assert json.loads(container.read("1", "k1").body or b"")["n"] == 2


def test_a_container_needs_a_partition(clock: Clock) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Engine(now=clock, partitions=0)


def test_every_container_has_a_resource_id_of_its_own(clock: Clock) -> None:
    engine = Engine(now=clock)
    engine.create_database("d")
    definition = {"id": "c", "partitionKey": {"paths": ["/pk"]}}
    first = engine.create_container("d", definition).rid
    engine.delete_container("d", "c")
    assert engine.create_container("d", definition).rid != first
    assert engine.container("d", "c").rid.startswith(engine.database("d").rid[:5])
    assert engine.container(engine.database("d").rid, engine.container("d", "c").rid).name == "c"


@pytest.mark.parametrize(
    "change",
    [
        {"defaultTtl": 0},
        {"partitionKey": {"paths": ["/other"]}},
        {"id": "d"},
        {"defaultTtl": 5, "indexingPolicy": {"indexingMode": "none"}},
    ],
    ids=["ttl", "key", "id", "index"],
)
def test_a_container_refuses_an_impossible_change(clock: Clock, change: dict[str, Any]) -> None:
    engine = Engine(now=clock)
    engine.create_database("d")
    definition = {"id": "c", "partitionKey": {"paths": ["/pk"]}}
    engine.create_container("d", definition)
    assert status_of(lambda: engine.replace_container("d", "c", {**definition, **change})) == (
        400,
        0,
    )
