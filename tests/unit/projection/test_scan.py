from __future__ import annotations

import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.projection.scan import cut_page, last_member, members_of
from tests.unit.projection.documents import RID, document, finished, page

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def pieces(body: bytes) -> tuple[bytes, ...]:
    cut = cut_page(body)
    assert cut is not None
    return cut


@given(st.lists(JSON), st.integers(0, 3), st.booleans())
def test_sound_page_is_cut_as_a_decoder_cuts_it(
    values: list[object], indent: int, ascii_only: bool
) -> None:
    frame = {"_rid": RID, "Documents": values, "_count": len(values)}
    body = json.dumps(frame, indent=indent or None, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    )

    assert [json.loads(piece) for piece in pieces(body)] == values


@given(st.dictionaries(st.text(), JSON), st.integers(0, 3))
def test_sound_object_is_cut_as_a_decoder_cuts_it(value: dict[str, object], indent: int) -> None:
    raw = json.dumps(value, indent=indent or None).encode()

    members = members_of(raw)

    assert members.complete
    assert {json.loads(k): json.loads(v) for k, v in members.values.items()} == value


@given(st.binary() | st.text(alphabet='{}[]",:\\ab1 ').map(str.encode))
def test_no_bytes_make_the_scanner_fail(raw: bytes) -> None:
    members_of(raw)
    last_member(raw, b"_lsn")
    cut_page(raw)
    cut_page(page([raw, document()]))


GOOD = document('"id": "good"')
BROKEN = [
    pytest.param(b"NaN", id="NaN"),
    pytest.param(b'"\xff\xfe"', id="no UTF-8"),
    pytest.param(b'"unclosed', id="unclosed text"),
    pytest.param(b'unopened"', id="unopened text"),
    pytest.param(b'"a\\', id="escaped quote of the next key"),
    pytest.param(b"[", id="unclosed array"),
    pytest.param(b"]", id="unopened array"),
    pytest.param(b"{", id="unclosed object"),
    pytest.param(b"[{", id="unclosed object in array"),
    pytest.param(b"}", id="closed too early"),
    pytest.param(b'{"a":', id="unclosed object without value"),
    pytest.param(b"", id="no value"),
    pytest.param(b"1 2", id="two values"),
    pytest.param(b'"a" {', id="object behind text"),
    pytest.param(b"[" * 100_000, id="very many brackets"),
]


@pytest.mark.parametrize("value", BROKEN)
def test_broken_document_is_cut_from_its_neighbours(value: bytes) -> None:
    broken = finished(b'"id":"bad","cartId":"c","note":' + value, lsn=8)

    assert pieces(page([GOOD, broken, GOOD])) == (GOOD, broken, GOOD)
    assert pieces(page([broken, broken, GOOD])) == (broken, broken, GOOD)
    assert pieces(page([GOOD, broken])) == (GOOD, broken)


def test_documents_between_an_opener_and_a_closer_are_not_swallowed() -> None:
    opens = finished(b'"id":"a","note":[{"x":1')
    closes = finished(b'"id":"b","note":1}],"y":1')

    assert pieces(page([opens, GOOD, closes, GOOD])) == (opens, GOOD, closes, GOOD)


def test_inner_documents_of_sound_ones_are_no_border() -> None:
    nested = document('"history": [{"_lsn": 1}, {"_lsn": 2}]')
    broken = finished(b'"id":"bad","note":NaN')

    assert pieces(page([nested, broken, nested])) == (nested, broken, nested)


def test_spaces_and_line_breaks_are_no_part_of_a_document() -> None:
    body = b' {\n"Documents" : [\r\n {"a":NaN} \t,\n{"b":1}\n ]\n, "_rid": "x" , "_count":2 } \n'

    cut = cut_page(body)

    assert cut is not None
    assert cut == (b'{"a":NaN}', b'{"b":1}')


def test_page_without_rid_and_documents_is_a_page() -> None:
    cut = cut_page(b'{"Documents":[]}')

    assert cut is not None
    assert cut == ()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>down for maintenance</html>", id="no JSON"),
        pytest.param(b'{"_rid":"x"}', id="no documents"),
        pytest.param(b'{"Documents":5}', id="documents are a number"),
        pytest.param(b']"Documents":[', id="in the wrong order"),
        pytest.param(b'{"Documents":[]', id="end missing"),
        pytest.param(b'{"Documents":[{"a":[1]}', id="end of an inner array"),
        pytest.param(b'{"Documents":[{"a":[1]}, {"a":[1]}', id="end of another inner array"),
    ],
)
def test_what_is_cut_off_is_no_page(body: bytes) -> None:
    assert cut_page(body) is None


def test_no_beginning_of_a_page_is_a_page() -> None:
    body = page([document('"tags": [[1], {"a": []}]'), finished(b'"id":"bad","note":NaN,"x":[]')])

    assert [n for n in range(len(body)) if cut_page(body[:n]) is not None] == []
    assert cut_page(body) is not None


@pytest.mark.parametrize(
    "unit",
    [
        b'{"a":[{"_lsn":1},',
        b'{"a":"_lsn":1},',
        b'{"_lsn":1},{',
        b'"',
        b'\\"',
        b"{",
        b"[",
        b'"_lsn":',
        b'{"a":{"b":1,"_lsn":1},',
        b" ",
        b",",
    ],
    ids=repr,
)
def test_scanner_is_linear(unit: bytes) -> None:
    body = page([unit * (500_000 // len(unit))])

    before = time.process_time()
    cut_page(body)
    members_of(body)
    members_of(unit * (500_000 // len(unit)))
    last_member(body, b"_lsn")

    assert time.process_time() - before < 10  # quadratic time would be hours


def test_last_of_two_members_wins_wherever_it_stands() -> None:
    assert members_of(b'{"a":1,"b":2,"a":3}').values == {b'"b"': b"2", b'"a"': b"3"}
    assert last_member(b'{"_lsn":1,"x":{"_lsn": "two"},"y"', b"_lsn") == b'"two"'
    assert last_member(b"{}", b"_lsn") is None


def test_empty_and_half_objects() -> None:
    assert members_of(b" {} ").complete
    assert not members_of(b"{").complete
    assert not members_of(b'{"a":1,}').complete
    assert not members_of(b'{"a":1} x').complete
    assert not members_of(b"[]").complete
    assert msgspec.json.decode(members_of(b'{"a":[1,{"b":2}],').values[b'"a"']) == [1, {"b": 2}]


@pytest.mark.parametrize(
    "rest", [b',"c":2}', b':2,"c":2}', b' "x" "y"}', b"}", b"]}", b"[1}", b'{"x"']
)
def test_members_end_where_the_document_stops_making_sense(rest: bytes) -> None:
    members = members_of(b'{"a":1,"b":' + rest)

    assert not members.complete
    assert members.values.keys() <= {b'"a"', b'"b"'}
    assert members.values[b'"a"'] == b"1"
    assert members.values.get(b'"b"', b'"x"') == b'"x"'
