from __future__ import annotations

import pytest

from projector.projection.carts import CARTS
from projector.projection.lane import FastLane
from projector.projection.shapes import PageShapes
from projector.projection.writes import RowWrite
from tests.carts import number_of, project_page
from tests.unit.projection.documents import document, page, row

ORDINARY = '"item": "Pen", "quantity": 2, "price": 9.50, "currency": "EUR", "note": "x"'


def through_the_lane(*bodies: str) -> list[RowWrite] | None:
    raw = page([document(body, lsn=lsn) for lsn, body in enumerate(bodies, 1)])
    shapes = PageShapes(CARTS)
    shapes.learn(raw)
    plain = shapes.decode(raw)
    return None if plain is None else FastLane(CARTS).writes(raw, plain)


@pytest.mark.parametrize(
    "body",
    [
        ORDINARY,
        '"item": "Pen", "quantity": 2',
        '"item": "Pen", "quantity": 0.0000000001, "price": 123456789012',
        '"item": "Pen", "quantity": 2, "currency": null',
        '"item": "Pen", "quantity": 2, "note": "x", "more": {"a": 1}',
        '"item": "Pen", "quantity": 2, "ttl": 3',
        '"item": "Köder 🎣", "quantity": 2',
    ],
)
def test_ordinary_documents_take_the_lane_and_become_what_the_rules_say(body: str) -> None:
    found = through_the_lane(body, ORDINARY)
    raw = page([document(body, lsn=1), document(ORDINARY, lsn=2)])
    assert found is not None
    assert [row(write) for write in found] == [row(write) for write in project_page(raw).writes]


@pytest.mark.parametrize(
    "body",
    [
        '"item": "Pen", "quantity": null',
        '"item": "", "quantity": 2',
        '"item": 5, "quantity": 2',
        f'"item": "{"x" * 257}", "quantity": 2',
        '"item": "\\u0000", "quantity": 2',
        '"item": "Pen", "quantity": -2',
        '"item": "Pen", "quantity": 1e2',
        '"item": "Pen", "quantity": "2"',
        '"item": "Pen", "quantity": 0.12345678901',
        '"item": "Pen", "quantity": 2, "price": null',
        '"item": "Pen", "quantity": 2, "price": "9.50"',
        '"item": "Pen", "quantity": 2, "currency": "eur"',
        '"item": "Pen", "quantity": 2, "currency": 5',
        '"item": "Pen", "quantity": 2, "ttl": -1',
        '"item": "Pen", "quantity": 2, "ttl": "3"',
        '"item": "Pen", "quantity": 2, "note": 5',
        '"item": "Pen", "quantity": 2, "note": "a\\nb"',
        '"item": "Pen", "quantity": 2, "note": {"a": "b"}',
        '"item": "Pen", "quantity": 2, "note": ["b"]',
        '"item": "Pen", "quantity": 2, "note": 1e99999, "more": 1',
    ],
)
def test_anything_else_is_left_to_the_rules(body: str) -> None:
    assert through_the_lane(body, ORDINARY) is None


def test_lane_is_taken_by_a_page_of_the_feed() -> None:
    raw = page([document(ORDINARY, lsn=lsn) for lsn in range(1, 1001)])
    assert len(project_page(raw).writes) == 1000
    assert number_of(project_page(raw).writes[0], "quantity") == b"2"


def test_lane_is_taken_by_a_page_of_a_scan_at_the_version_of_its_answer() -> None:
    """Documents of a query bear no version; one without, in a page of the feed, is no ordinary one."""
    raw = page([document(ORDINARY, lsn=1)]).replace(b'"_lsn":1', b'"_lsn":null')
    shapes = PageShapes(CARTS)
    shapes.learn(raw)
    plain = shapes.decode(raw)
    assert plain is not None
    found = FastLane(CARTS).writes(raw, plain, lsn=77)
    assert found is not None
    assert [write.lsn for write in found] == [77]
    assert FastLane(CARTS).writes(raw, plain) is None
