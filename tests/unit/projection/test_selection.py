from __future__ import annotations

import json
from typing import Any

import pytest

from projector.projection.carts import CARTS
from projector.projection.project import Projection
from projector.projection.selection import EVERYTHING, Selection
from tests.carts import project_page

LINES = Selection.parse("type=line,true", None)
project_lines = Projection(CARTS, selection=LINES).page
STAMP = {"_lsn": 7, "_ts": 9, "_etag": '"e"'}


def document(**fields: Any) -> bytes:
    good = {"id": "1", "cartId": "c", "item": "Mug", "quantity": 1}
    return json.dumps({**good, **STAMP, **fields}).encode()


def page(*documents: bytes) -> bytes:
    return b'{"_rid":"rid","Documents":[' + b",".join(documents) + b"]}"


@pytest.mark.parametrize(
    ("where", "fields", "content", "taken"),
    [
        (None, None, {}, True),
        ("type=line", None, {"type": "line"}, True),
        ("type=line", None, {"type": "Line"}, False),
        ("type=line", None, {}, False),
        ("type=line", None, {"type": None}, False),
        ("type=a, b ,", None, {"type": "b"}, True),
        ("live=true", None, {"live": True}, True),
        ("kind=5", None, {"kind": 5}, True),
        (None, "item, note", {"note": ""}, True),
        (None, "item,note", {"note": None}, False),
        (None, "item,note", {}, False),
        ("type=line", "type,note", {"type": "line", "note": 0}, True),
    ],
)
def test_what_is_meant(
    where: str | None, fields: str | None, content: dict[str, Any], *, taken: bool
) -> None:
    assert Selection.parse(where, fields).takes(document(**content)) is taken


@pytest.mark.parametrize("raw", [b"{", b"[1]", b'{"type": "\\ud800"}', b'"x"', b"\xff"])
def test_what_does_not_decode_is_for_the_rules(raw: bytes) -> None:
    assert LINES.takes(raw)


@pytest.mark.parametrize("where", ["type", "=line", "type=", "type= , "])
def test_a_filter_that_cannot_be_meant_is_refused(where: str) -> None:
    with pytest.raises(ValueError, match="type=line"):
        Selection.parse(where, None)


def test_one_filter_has_one_text() -> None:
    assert Projection(CARTS).text == "carts"
    assert EVERYTHING.text == ""
    first, second = Selection.parse("t=b,a", "y,x"), Selection.parse("t=a, b", "x,y")
    assert first.text == second.text == ' where t = "a" or "b" with x, y'


def test_others_are_tombstones_of_their_key_and_no_rejections() -> None:
    found = project_lines(
        page(
            document(type="line"),
            document(id="2", type="offer", item=None),
            document(id="3", type="line", item=None),
            document(id="4", cartId=5, type="offer", _ts=11),
        )
    )
    assert [(one.id, one.deleted) for one in found.writes] == [
        ("1", False),
        ("3", True),
        ("2", True),
    ]
    assert [one.id for one in found.rejections] == ["3"]
    assert [(one.partition_key, one.id, one.lsn) for one in found.passed] == [("5", "4", 7)]
    assert (found.delivered, found.filtered, found.newest_ts) == (4, 2, 11)


def test_a_page_of_meant_documents_is_what_it_is_without_a_filter() -> None:
    body = page(document(type="line"), document(id="2", type="line", note=[1]))
    assert project_lines(body) == project_page(body)


def test_a_page_of_others_alone_moves_the_clock() -> None:
    found = project_lines(page(document(cartId=None)))
    assert (found.writes, found.rejections, found.newest_ts) == ((), (), 9)
    assert found.filtered == 1


def test_one_without_a_version_is_passed_over_and_counts() -> None:
    found = project_lines(page(document(type="note", _lsn=None), document(type="line")))
    assert (len(found.writes), found.passed) == (1, ())
    assert (found.delivered, found.filtered, found.newest_ts) == (2, 1, 9)


def test_a_document_that_does_not_decode_costs_itself_beside_others() -> None:
    found = project_lines(page(document(type="line"), b'{"type":"\xff"}', document(id="2")))
    assert [(one.id, one.deleted) for one in found.writes] == [("1", False), ("2", True)]
    assert len(found.rejections) == 1
