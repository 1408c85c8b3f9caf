"""Bounds on the other fields: what is stored can be sorted, read, dumped and shown."""

from __future__ import annotations

import json
import random

import pytest

from projector.projection.extra import FEW_NAMES, MAX_EXTRA_BYTES
from projector.projection.values import MAX_JSONB_DIGITS
from projector.projection.writes import RejectionReason
from tests import wild
from tests.carts import project_document
from tests.unit.projection.documents import document

LARGEST_DOCUMENT = 2 * 1024 * 1024


def extra_of(members: str) -> bytes:
    write = project_document(document(members)).write
    assert write is not None
    return bytes(write.extra or b"")


def names(count: int) -> list[str]:
    """Names in no order, of several lengths and alphabets."""
    made = [*wild.IDS, *(f"{kind}{n}" for n in range(count) for kind in ("a", "bb", "é", "☃"))]
    random.Random(1).shuffle(made)
    return made


def in_order(found: list[str]) -> list[str]:
    return sorted(found, key=lambda name: (len(name.encode()), name.encode()))


@pytest.mark.parametrize("frame", ["%s", "[1,%s]", '{"x":[{"y":%s}],"z":1}'])
def test_names_of_large_objects_are_sent_in_the_order_that_the_server_sorts_them_into(
    frame: str,
) -> None:
    given = names(FEW_NAMES)
    value = frame % json.dumps(dict.fromkeys(given, 1.5))

    found = json.loads(extra_of(f'"note": {value}'))["note"]

    assert found == json.loads(value)
    while not isinstance(found, dict) or len(found) < FEW_NAMES:
        found = found[-1] if isinstance(found, list) else next(iter(found.values()))
    assert list(found) == in_order(given)


def test_fields_of_a_large_document_are_sent_in_that_order() -> None:
    given = names(FEW_NAMES)
    members = json.dumps(dict.fromkeys(given, 1))

    assert list(json.loads(extra_of(members[1:-1]))) == in_order(given)


def test_small_objects_are_sent_as_they_came() -> None:
    value = json.dumps({name: ["é", {"b": 1.5, "a": 1}] for name in names(10)})

    assert value.encode() in extra_of(f'"note": {value}')


@pytest.mark.parametrize(
    ("number", "good"),
    [
        ("1" * MAX_JSONB_DIGITS, True),
        ("1" * (MAX_JSONB_DIGITS + 1), False),
        ("-1" + "0" * (MAX_JSONB_DIGITS - 1) + "." + "0" * MAX_JSONB_DIGITS, True),
        ("0." + "1" * (MAX_JSONB_DIGITS + 1), False),
        (f"1.5e{MAX_JSONB_DIGITS - 1}", True),
        (f"1.5E+{MAX_JSONB_DIGITS}", False),
        ("1.7976931348623157e308", True),
        ("5e-324", True),
        ("2.2250738585072014E-308", True),
    ],
)
def test_numbers_are_bounded_as_they_are_written_out(number: str, good: bool) -> None:
    projected = project_document(document(f'"note": [true, "1e99999", {number}]'))

    if good:
        assert projected.rejection is None
    else:
        assert projected.rejection is not None
        assert projected.rejection.reason is RejectionReason.TOO_LARGE
        assert "digits before or after the point" in projected.rejection.detail


@pytest.mark.parametrize("shape", ["one value", "many values"])
def test_the_whole_is_bounded_with_its_numbers_written_out(shape: str) -> None:
    """80 kB with 9,000 numbers were a row of more than a gigabyte."""
    count = MAX_EXTRA_BYTES // 999
    if shape == "one value":
        members = '"note": [' + ",".join(["1e999"] * count) + "]"
    else:
        members = ",".join(f'"n{n}": [1e999, 1e999]' for n in range(count // 2))

    rejection = project_document(document(members)).rejection

    assert rejection is not None
    assert rejection.reason is RejectionReason.TOO_LARGE
    assert "written out" in rejection.detail
    assert len(rejection.detail) < 200


@pytest.mark.parametrize(
    "piece", ["1.25", "12345678.9e-9", "1e21", '"text"', "{}", "[[1]]", '{"k":[]}']
)
def test_no_common_document_meets_a_bound_however_large(piece: str) -> None:
    members = '"note": [' + ",".join([piece] * (LARGEST_DOCUMENT // (len(piece) + 1) - 1000)) + "]"

    assert project_document(document(members)).rejection is None
