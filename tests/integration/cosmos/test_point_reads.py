from __future__ import annotations

import json
from typing import Any

import pytest

from cosmos_emulator.odd_ids import OddIdAnswer
from projector.core.errors import (
    CredentialExpired,
    ProjectorError,
    SourceMissing,
    SourceRecreated,
    SourceUnavailable,
    Throttled,
)
from projector.cosmos.point_reads import CosmosPointReader
from tests import wild
from tests.contract.change_source import documents_of
from tests.fixtures.emulator import control
from tests.integration.cosmos.support import CART, COLLECTION, EmulatedWorld


@pytest.fixture
def reader(world: EmulatedWorld) -> CosmosPointReader:
    return CosmosPointReader(world.gateway, CART)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("plain", id="text"),
        pytest.param("", id="empty text"),
        pytest.param('héllo ☃ \\ "quoted"', id="text to escape"),
        pytest.param(0, id="zero"),
        pytest.param(1.5, id="number"),
        pytest.param(False, id="false"),
        pytest.param(True, id="true"),
        pytest.param(None, id="null"),
    ],
)
async def test_document_is_found_under_its_own_partition_key_only(
    world: EmulatedWorld, reader: CosmosPointReader, key: object
) -> None:
    others = ["plain", "", 0, 1, False, True, None, "null", "0", "false"]
    await world.write(key, "id", mine=True)
    for other in others:
        if json.dumps(other) != json.dumps(key):
            found = await reader.read(json.dumps(other), "id")
            assert found.raw is None, other
            assert found.session_lsn is not None
    found = await reader.read(json.dumps(key), "id")
    assert found.raw is not None
    assert json.loads(found.raw)["cartId"] == key


async def test_document_without_partition_key_is_read_as_undefined_not_as_null(
    world: EmulatedWorld, reader: CosmosPointReader
) -> None:
    async with world.container() as container:
        await container.upsert_item({"id": "id"})
    assert (await reader.read("{}", "id")).raw is not None
    assert (await reader.read("null", "id")).raw is None


async def stored(world: EmulatedWorld, key: object, document_id: str) -> None:
    """Store a document that the SDK would refuse to write."""
    fields = {"id": document_id} | ({} if key is ... else {"cartId": key})
    await world.raw(json.dumps(fields).encode())


@pytest.mark.parametrize("answer", list(OddIdAnswer))
async def test_every_id_is_missed_and_found_whatever_a_url_makes_of_it(
    world: EmulatedWorld, reader: CosmosPointReader, answer: OddIdAnswer
) -> None:
    await control(world.server, "odd_ids", {"answer": answer})
    for name in wild.PLAIN:
        await stored(world, "key", name)
    for name in (*wild.ODD_IN_URLS, *wild.ESCAPES, *wild.ON_SCREENS, *wild.IN_UNICODE):
        absent = await reader.read('"key"', name)
        assert (absent.raw, absent.session_lsn is None) == (None, False), name
        await stored(world, "key", name)
        found = await reader.read('"key"', name)
        assert found.raw is not None, name
        assert json.loads(found.raw)["id"] == name
        assert found.session_lsn == (absent.session_lsn or 0) + 1


@pytest.mark.parametrize("key", ["a/b ", "", 0, 1.5, False, True, None, ...], ids=repr)
async def test_id_that_no_url_carries_is_found_under_its_own_partition_key_only(
    world: EmulatedWorld, reader: CosmosPointReader, key: object
) -> None:
    others = ["a/b ", "a/b", "", 0, 1, False, True, None, "null", "0", "false", ...]
    text = {repr(one): "{}" if one is ... else json.dumps(one) for one in others}
    await stored(world, key, "a/b")
    for other in others:
        found = await reader.read(text[repr(other)], "a/b")
        assert (found.raw is not None) == (repr(other) == repr(key)), other
        assert found.session_lsn is not None


async def test_page_without_documents_is_no_absence(
    world: EmulatedWorld, reader: CosmosPointReader
) -> None:
    await stored(world, "key", "a/b")
    await world.fault(operation="query_items", action="empty", times=3)
    assert (await reader.read('"key"', "a/b")).raw is not None


async def test_absence_holds_as_of_the_first_page(
    world: EmulatedWorld, reader: CosmosPointReader
) -> None:
    before = await reader.read('"key"', "a/b")
    await world.fault(operation="query_items", action="empty", times=1)
    after = await reader.read('"key"', "a/b")
    assert after == before


async def test_document_that_is_no_json_is_found_by_an_odd_id(
    world: EmulatedWorld, reader: CosmosPointReader
) -> None:
    body = b'{"id":"a/b","cartId":"key","n":NaN,"bad":"\xff"}'
    await control(world.server, f"{COLLECTION}/raw", body)
    found = await reader.read('"key"', "a/b")
    assert found.raw is not None
    assert found.raw.startswith(body[:-1])


async def test_bytes_are_those_the_service_sent(
    world: EmulatedWorld, reader: CosmosPointReader
) -> None:
    exact = b'"price":1234567890123456789012345678901234567890.10'
    await world.raw(b'{"id":"id","cartId":"key","bad":"\xff",' + exact + b"}")
    found = await reader.read('"key"', "id")
    assert found.raw is not None
    assert exact in found.raw
    assert b"\xff" in found.raw


async def test_version_is_bounded_by_the_partition_lsn(
    world: EmulatedWorld, reader: CosmosPointReader
) -> None:
    await world.write("key", "id")
    before = await reader.read('"key"', "id")
    await world.write("key", "other")
    after = await reader.read('"key"', "id")
    assert before.session_lsn is not None
    assert after.session_lsn == before.session_lsn + 1
    assert before.raw == after.raw


async def test_read_is_not_older_than_the_session_token_it_carries(
    world: EmulatedWorld, reader: CosmosPointReader
) -> None:
    await world.write("key", "id")
    for target in await world.targets():
        page = await world.source.read_page(target, None, max_documents=10)
        if documents_of(page):
            token = page.session_token
            found = await reader.read('"key"', "id", session_token=token)
            assert found.session_lsn == page.session_lsn
            range_id = target.range_id
            with pytest.raises(SourceUnavailable):
                await reader.read('"key"', "id", session_token=f"{range_id}:-1#999999")
            assert (await reader.read('"key"', "id", session_token=token)).raw is not None


async def test_answer_without_session_token_proves_nothing(
    world: EmulatedWorld, reader: CosmosPointReader
) -> None:
    await reader.read('"key"', "id")
    await world.fault(operation="read_item", status=404, times=1)
    answer = await reader.read('"key"', "id")
    assert (answer.raw, answer.session_lsn) == (None, None)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param({"status": 404, "substatus": 1002}, SourceUnavailable, id="session ahead"),
        pytest.param({"status": 404, "substatus": 1003}, SourceMissing, id="container missing"),
        pytest.param({"status": 404, "substatus": 1008}, SourceUnavailable, id="other 404"),
        pytest.param({"status": 403, "substatus": 5300}, CredentialExpired, id="aged token"),
        pytest.param({"status": 429, "retry_after_ms": 10}, Throttled, id="throttled"),
        pytest.param({"status": 449}, SourceUnavailable, id="outage"),
        pytest.param({"action": "drop"}, SourceUnavailable, id="connection lost"),
    ],
)
async def test_only_a_plain_404_is_absence(
    world: EmulatedWorld,
    reader: CosmosPointReader,
    fault: dict[str, Any],
    expected: type[ProjectorError],
) -> None:
    await world.write("key", "id")
    await reader.read('"key"', "id")
    await world.fault(operation="read_item", **fault)
    with pytest.raises(expected):
        await reader.read('"key"', "id")


async def test_recreated_container_has_no_say_about_the_old_ones_documents(
    world: EmulatedWorld, reader: CosmosPointReader
) -> None:
    await world.write("key", "id")
    await reader.read('"key"', "id")
    await world.recreate()
    for _ in range(2):  # the SDK knows the new container by the second time
        with pytest.raises(SourceRecreated):
            await reader.read('"key"', "id")


async def test_reader_told_another_rid_refuses_from_the_first_read(world: EmulatedWorld) -> None:
    reader = CosmosPointReader(world.gateway, CART, expected_rid="b0wPAK3lXxQ=")
    with pytest.raises(SourceRecreated):
        await reader.read('"key"', "id")


async def test_read_is_one_request(world: EmulatedWorld, reader: CosmosPointReader) -> None:
    await reader.read('"key"', "id")
    before = await world.requests()
    for _ in range(5):
        await reader.read('"key"', "id")
    after = await world.requests()
    assert after["read_item"] - before["read_item"] == 5
    assert sum(after.values()) - sum(before.values()) == 5


@pytest.mark.parametrize("text", ['{"a":1}', "nothing", ""])
async def test_text_that_is_no_partition_key_is_refused(
    reader: CosmosPointReader, text: str
) -> None:
    with pytest.raises(ValueError, match=r"."):
        await reader.read(text, "id")
