from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_emulator.documents import Seal, accept, decode_leniently, encode_json
from cosmos_emulator.errors import EmulatorError
from cosmos_emulator.keys import parse_definition

_KEYS = parse_definition({"paths": ["/pk"]})
_SEAL = Seal(rid=b"\x01\x02\x03\x04\x85\x06\x07\x08", self_link="dbs/AQIDBA==/colls/AQIDBIUGBwg=/")


def _stored(body: bytes) -> Any:
    return _SEAL.apply(accept(body, _KEYS), number=1, version=7, ts=1654258886, lsn=42)


def test_the_client_bytes_are_kept_and_the_system_properties_follow() -> None:
    document = _stored(b'{"id":"1", "pk":"a", "price":1.50}')
    assert document.body.startswith(b'{"id":"1", "pk":"a", "price":1.50,"_rid":"')
    assert document.body.endswith(b',"_ts":1654258886,"_lsn":42}')


def test_only_the_feed_shows_the_lsn() -> None:
    document = _stored(b'{"id":"1","pk":"a"}')
    fed, read = json.loads(document.body), json.loads(document.point_body)
    assert fed.pop("_lsn") == 42
    assert fed == read


def test_another_lsn_changes_nothing_else() -> None:
    document = _stored(b'{"id":"1","pk":"a"}')
    moved = document.moved_to(7)
    assert (moved.lsn, moved.point_body) == (7, document.point_body)
    assert json.loads(moved.body)["_lsn"] == 7


def test_the_entity_tag_in_the_document_has_its_quotes() -> None:
    document = _stored(b'{"id":"1","pk":"a"}')
    assert json.loads(document.body)["_etag"] == _SEAL.etag_of(document)
    assert _SEAL.etag_of(document).startswith('"')


def test_system_properties_of_the_client_are_replaced() -> None:
    document = _stored(b'{"id":"1","pk":"a","_ts":1,"_etag":"x","_lsn":2,"_own":3}')
    decoded = json.loads(document.body)
    assert (decoded["_ts"], decoded["_lsn"], decoded["_own"]) == (1654258886, 42, 3)
    assert document.body.count(b'"_ts"') == 1


def test_resource_ids_of_children_begin_with_those_of_their_parents() -> None:
    decoded = json.loads(_stored(b'{"id":"1","pk":"a"}').body)
    assert decoded["_rid"].startswith("AQIDBIUGBw")
    assert len(decoded["_rid"]) == 24
    assert decoded["_self"] == f"dbs/AQIDBA==/colls/AQIDBIUGBwg=/docs/{decoded['_rid']}/"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'{"id":"1"', id="unfinished"),
        pytest.param(b'{"id":1,"pk":"a"}', id="id is a number"),
        pytest.param(b'{"id":"","pk":"a"}', id="id is empty"),
        pytest.param(b'{"pk":"a"}', id="no id"),
        pytest.param(b'{"id":"' + b"x" * 1024 + b'","pk":"a"}', id="long id"),
        pytest.param(b'{"id":"1","pk":"a","n":NaN}', id="NaN"),
        pytest.param(b'{"id":"1","pk":"a","n":1e400}', id="endless number"),
        pytest.param(b'{"id":"1","pk":"\xff"}', id="bad UTF-8"),
        pytest.param(b'{"id":"1","pk":"a","x":' + b"[" * 100_000, id="too deep"),
        pytest.param(b'{"id":"1","pk":["a"]}', id="key is a list"),
    ],
)
def test_what_the_service_does_not_take_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(EmulatorError) as caught:
        accept(body, _KEYS)
    assert caught.value.status == 400


def test_a_document_above_two_megabytes_is_too_large() -> None:
    with pytest.raises(EmulatorError) as caught:
        accept({"id": "1", "pk": "a", "x": "y" * (2 * 1024 * 1024)}, _KEYS)
    assert caught.value.status == 413


def test_a_lone_surrogate_passes_as_its_escape() -> None:
    document = _stored(b'{"id":"1","pk":"\\ud800"}')
    assert b'"\\ud800"' in document.body
    assert json.loads(encode_json({"x": "\ud800"})) == {"x": "\ud800"}


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: not name.startswith("_")),
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    )
)
def test_bytes_and_mappings_are_stored_alike(fields: dict[str, Any]) -> None:
    fields = {
        name: None if value in {float("inf"), float("-inf")} else value
        for name, value in fields.items()
    }
    document = {**fields, "id": "1", "pk": "a"}
    document.pop("ttl", None)
    from_bytes = _stored(json.dumps(document).encode())
    from_mapping = _SEAL.apply(accept(document, _KEYS), number=1, version=7, ts=1654258886, lsn=42)
    assert json.loads(from_bytes.body) == json.loads(from_mapping.body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"n":1e400}', {"n": float("inf")}, id="endless number"),
        pytest.param(b'{"n":"\xff"}', {"n": "�"}, id="bad UTF-8"),
        pytest.param(b'{"n":', None, id="nothing"),
    ],
)
def test_lenient_decoding_takes_what_it_can(body: bytes, expected: object) -> None:
    assert decode_leniently(body) == expected
