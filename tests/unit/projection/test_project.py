from __future__ import annotations

import re
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.core.errors import SourceUnavailable
from projector.projection.carts import CARTS
from projector.projection.fields import MAX_DEPTH
from projector.projection.shapes import MAX_LEARNED_NAMES, PageShapes
from projector.projection.writes import ProjectedPage, RejectionReason
from tests.carts import number_of, project_document, project_page
from tests.unit.projection.documents import document, finished, page, row

NAMES = st.sampled_from(["note", "a", "ä", 'x"y', "lsn", "epk", "deleted", "", "price2", "a b"])
VALUES = st.sampled_from(
    [
        "null",
        "true",
        "0",
        "-1.50",
        '"x"',
        '"a\\"b"',
        '"\\u00e9"',
        '"\\u0000"',
        '"é😀"',
        "[]",
        '{"b": [1, {"c": null}]}',
        "1e400",
        "1e99999999",
        '"' + "x" * 300 + '"',
        '"' + "x\\n" * 300 + '"',
        "[" * 130 + "]" * 130,
    ]
)
TEXTS = st.sampled_from(
    [
        '"c"',
        '"x y"',
        '""',
        '"\\u0000"',
        '"é"',
        "5",
        "null",
        "{}",
        '"' + "é" * 300 + '"',
        '"\\ud800"',
    ]
)
NUMBERS = st.sampled_from(
    [
        *("0", "1", "19.99", "-0", "-0.0", "-3", "1e2", "1e400", "null", "true", "[]", "NaN"),
        *('"1.50"', '"1e2"', "123456789012345678", "1234567890123456789", "0.12345678901"),
    ]
)
MEMBERS = st.one_of(
    st.tuples(st.sampled_from(["id", "cartId", "item"]), TEXTS),
    st.tuples(st.sampled_from(["quantity", "price"]), NUMBERS),
    st.tuples(st.just("currency"), st.sampled_from(['"EUR"', '"eur"', "null", "1", '"ÄÖÜ"'])),
    st.tuples(st.just("ttl"), st.sampled_from(["1", "-1", "0", "3.0", "null", '"5"', "1e30"])),
    st.tuples(NAMES, VALUES),
)
DOCUMENTS = st.builds(
    lambda members, lsn: document(
        ", ".join(f"{msgspec.json.encode(name).decode()}: {value}" for name, value in members),
        lsn=lsn,
    ),
    st.lists(MEMBERS, max_size=5),
    st.integers(1, 99) | st.none(),
)


def one_by_one(documents: list[bytes], lsn: int | None = None) -> tuple[list[object], list[object]]:
    projected = [project_document(raw, lsn=lsn) for raw in documents]
    return (
        [row(p.write) for p in projected if p.write is not None],
        [p.rejection for p in projected if p.rejection is not None],
    )


def together(found: ProjectedPage) -> tuple[list[object], list[object]]:
    return [row(write) for write in found.writes], list(found.rejections)


@given(st.lists(DOCUMENTS, max_size=6), st.none() | st.integers(1, 99))
def test_page_is_projected_as_its_documents_are_one_by_one(
    documents: list[bytes], lsn: int | None
) -> None:
    found = project_page(page(documents), lsn=lsn)

    assert together(found) == one_by_one(documents, lsn)
    assert found.delivered == len(documents)


@given(st.binary() | st.text(alphabet='{}[]",:\\u0d8 id1.e-').map(str.encode))
def test_no_bytes_make_a_page_fail_but_as_an_outage(body: bytes) -> None:
    project_document(body)
    project_document(finished(body))
    project_page(page([finished(body)]))
    with suppress(SourceUnavailable):
        project_page(body)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b'"quantity":NaN', id="NaN"),
        pytest.param(b'"quantity":1,"note":"\\ud800"', id="lone surrogate"),
        pytest.param(b'"quantity":1,"note":"\xff"', id="no UTF-8"),
        pytest.param(b'"quantity":1,"note":"\\u0000"', id="NUL"),
        pytest.param(b'"quantity":1e400', id="1e400"),
        pytest.param(b'"quantity":' + b"1" * 40, id="40 digits"),
        pytest.param(b'"quantity":1,"note":' + b"[" * 5000 + b"]" * 5000, id="deep nesting"),
        pytest.param(b'"quantity":1,"note":"unclosed', id="unclosed text"),
        pytest.param(b'"quantity":1,"note":[{', id="unclosed brackets"),
        pytest.param(b'"quantity":"one"', id="wrong type"),
    ],
)
def test_one_bad_document_in_a_page_of_1000_costs_itself(bad: bytes) -> None:
    good = [document(f'"id": "{n}"', lsn=n) for n in range(1, 1000)]
    broken = finished(b'"id":"bad","cartId":"c","item":"i",' + bad, lsn=500, ts=1_999_999_999)

    found = project_page(page([*good[:500], broken, *good[500:]]))

    assert found.delivered == 1000
    assert [w.id for w in found.writes if not w.deleted] == [str(n) for n in range(1, 1000)]
    assert [(w.id, w.lsn) for w in found.writes if w.deleted] == [("bad", 500)]
    assert [(r.id, r.partition_key, r.raw) for r in found.rejections] == [("bad", '"c"', broken)]
    assert found.newest_ts == 1_999_999_999


def test_every_second_document_may_be_bad() -> None:
    bad = finished(b'"id":"bad","cartId":"c","note":"unclosed')

    found = project_page(page([document(), bad] * 50))

    assert found.delivered == 100
    assert len([w for w in found.writes if not w.deleted]) == 50
    assert len(found.rejections) == 50


def test_empty_page_says_nothing_new() -> None:
    found = project_page(page([]))

    assert found == ProjectedPage()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html></html>", id="no JSON"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'{"message":"sorry"}', id="another object"),
        pytest.param(page([document(), document()])[:-30], id="cut off"),
        pytest.param(page([document('"tags": [1]'), document()])[:60], id="cut off early"),
    ],
)
def test_page_that_is_none_is_an_outage_and_no_document(body: bytes) -> None:
    with pytest.raises(SourceUnavailable, match="cut off"):
        project_page(body)


def test_scanned_page_has_the_version_of_its_answer() -> None:
    found = project_page(page([document(lsn=None), document('"ttl": 1', lsn=None)]), lsn=77)

    assert [(w.lsn, w.deleted) for w in found.writes] == [(77, False), (77, True)]
    assert found.rejections == ()


def test_documents_of_the_feed_need_a_version() -> None:
    found = project_page(page([document(lsn=None)]))

    assert found.writes == ()
    assert [r.reason for r in found.rejections] == [RejectionReason.UNDECODABLE]


def test_newest_time_counts_tombstones_and_rejections() -> None:
    documents = [document(ts=5), document('"ttl": 1', ts=9), document('"id": 1', ts=7)]

    assert project_page(page(documents)).newest_ts == 9
    assert project_page(page([documents[0], documents[2]])).newest_ts == 7


def test_numbers_are_taken_as_they_are_written() -> None:
    found = project_page(page([document('"quantity": 2.50, "price": "1.10"')]))

    assert number_of(found.writes[0], "quantity") == b"2.50"
    assert number_of(found.writes[0], "unit_price") == b"1.10"


def test_fast_lane_learns_the_names_of_other_fields() -> None:
    shapes = PageShapes(CARTS)
    body = page([document('"a": 1'), document('"b": "x", "a": 2'), document()])

    assert shapes.decode(body) is None
    assert shapes.learn(body)
    plain = shapes.decode(body)

    assert plain is not None
    found = [plain.extras(document) for document in plain.documents]
    assert found == [msgspec.Raw(b'{"a":1}'), msgspec.Raw(b'{"a":2,"b":"x"}'), None]
    assert not shapes.learn(body)


def test_fast_lane_reads_documents_without_other_fields() -> None:
    plain = PageShapes(CARTS).decode(page([document()]))

    assert plain is not None
    assert plain.extras(plain.documents[0]) is None


def test_fast_lane_knows_when_a_field_needs_a_look() -> None:
    for members in ['"a": "\\u0000"', '"a": "\\u0000", "b": 1']:
        shapes = PageShapes(CARTS)
        body = page([document(members)])
        assert shapes.learn(body)
        plain = shapes.decode(body)
        assert plain is not None
        assert plain.extras(plain.documents[0]) is msgspec.UNSET


def test_fast_lane_begins_anew_with_other_names_and_gives_up_on_too_many() -> None:
    def body(first: int, count: int) -> bytes:
        return page([document(", ".join(f'"n{first + n}": 1' for n in range(count)))])

    shapes = PageShapes(CARTS)
    assert shapes.learn(body(0, MAX_LEARNED_NAMES))
    assert shapes.learn(body(100, 1))
    assert shapes.decode(body(0, MAX_LEARNED_NAMES)) is None
    assert shapes.decode(body(100, 1)) is not None
    assert not shapes.learn(body(200, MAX_LEARNED_NAMES + 1))
    for name in ("a\\u0000", '\\"', "\\\\", "\\n", "x" * 129):
        assert not shapes.learn(page([document(f'"{name}": 1')]))
    assert not shapes.learn(b"no page")
    assert shapes.decode(body(100, 1)) is not None


def test_documents_of_very_many_fields_are_projected_all_the_same() -> None:
    members = ", ".join(f'"field {n}": {n}' for n in range(200))

    found = project_page(page([document(members)]))

    assert len(msgspec.json.decode(found.writes[0].extra or b"{}")) == 200


def test_fast_lane_passes_no_page_that_is_not_utf8() -> None:
    assert PageShapes(CARTS).decode(page([document('"item": "é"')])) is not None
    assert PageShapes(CARTS).decode(page([finished(b'"_rid":"\xff","id":"1"')])) is None


def test_depth_that_needs_no_look_fits_the_limit() -> None:
    # The quick check lets values shorter than two bytes per level pass unread.
    value = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)

    assert project_page(page([document(f'"n": {value}')])).rejections == ()
    assert project_page(page([document(f'"n": [{value}]')])).writes[0].deleted


def test_rejections_say_what_is_wrong_with_which_field() -> None:
    found = project_page(
        page([document('"n\\u0000": 1'), document('"deep": ' + "[" * 300 + "]" * 300)])
    )

    assert [r.detail for r in found.rejections] == [
        r"the name of field 'n\x00' holds NUL",
        "field 'deep' is nested deeper than 128 levels",
    ]
    assert not any(re.search(r"[\x00-\x1f]", r.detail) for r in found.rejections)
