"""Another projection through the decoders, the lane and the rules: the kinds that carts do not have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.projection.carts import CARTS
from projector.projection.project import Projection
from projector.projection.writes import RowWrite
from tests.orders import ORDER_PROJECTION
from tests.unit.projection.documents import finished, page, row

GOOD = {
    "id": '"1"',
    "customerId": '"c"',
    "status": '"open"',
    "units": "2",
    "unitPrice": "9.50",
    "placedAt": '"2026-03-01T23:59:59Z"',
}


def order(lsn: int = 7, /, **members: str) -> bytes:
    return finished(", ".join(f'"{n}": {v}' for n, v in {**GOOD, **members}.items()), lsn=lsn)


def written(raw: bytes) -> RowWrite:
    projected = ORDER_PROJECTION.document(raw)
    assert projected.rejection is None
    assert projected.write is not None
    return projected.write


def rejected(raw: bytes) -> str:
    projected = ORDER_PROJECTION.document(raw)
    assert projected.rejection is not None
    assert projected.write is not None
    assert projected.write.deleted
    return f"{projected.rejection.reason}: {projected.rejection.detail}"


def test_values_stand_in_the_order_of_the_columns() -> None:
    write = written(order(weightKg='"0.350"', isPaid="true", note="[1]"))
    assert (write.key, write.id) == ("c", "1")
    assert json.loads(bytes(write.extra or b"")) == {"note": [1]}
    assert row(write) == {
        **(row(write) or {}),
        "values": ["open", b"2", b"9.50", b"0.350", "2026-03-01T23:59:59+00:00", True],
    }


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2026-03-01T23:59:59Z", "2026-03-01T23:59:59+00:00"),
        ("2026-03-02T00:59:59.123456+01:00", "2026-03-01T23:59:59.123456+00:00"),
        ("2026-03-01t23:59:59.5z", "2026-03-01T23:59:59.500000+00:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
    ],
)
def test_a_time_is_a_moment_whatever_its_offset(text: str, stored: str) -> None:
    assert written(order(placedAt=f'"{text}"')).values[4] == stored


@pytest.mark.parametrize(
    "value",
    [
        '"2026-03-01T23:59:59"',
        '"2026-02-30T00:00:00Z"',
        '"2026-03-01"',
        '"0001-01-01T00:00:00+23:59"',
        '"yesterday"',
        '""',
        "1772409599",
        "null",
        "true",
        '{"$date": 1}',
    ],
)
def test_what_is_no_time_is_rejected(value: str) -> None:
    told = rejected(order(placedAt=value))
    assert told.startswith("bad_placed_at: placedAt is ")
    assert told.endswith("not a time such as 2026-11-26T08:15:00Z")


@pytest.mark.parametrize(
    ("value", "stored"), [("true", True), ("false", False), ("null", None)], ids=str
)
def test_a_boolean_is_one(value: str, stored: bool | None) -> None:
    assert written(order(isPaid=value)).values[5] is stored


@pytest.mark.parametrize("value", ['"true"', "1", "0", "[]"])
def test_what_is_no_boolean_is_rejected(value: str) -> None:
    assert rejected(order(isPaid=value)).endswith("not true or false")


def test_its_own_names_are_said() -> None:
    assert rejected(order(status="7")) == "bad_status: status is a number, not a string"
    assert rejected(order(units='"2"')).startswith("bad_units: units is a string")
    missing = ORDER_PROJECTION.document(order(customerId="null")).rejection
    assert missing is not None
    assert (missing.reason, missing.partition_key) == ("bad_customer_id", "null")
    # What is a field of carts is an extra one here, and the other way round.
    assert json.loads(bytes(written(order(cartId="5")).extra or b"")) == {"cartId": 5}
    assert ORDER_PROJECTION.text == "orders"


VALUES = st.sampled_from(
    [
        "null", "true", "false", "1", "-2", "1e3", '"2"', '"open"', '""', '"\\u0000"', '"x\\ny"',
        '"2026-03-01T23:59:59Z"', '"2026-03-01T23:59:59.1234567+02:00"', '"0001-01-01T00:00:00+23:59"',
        '"9999-12-31T23:59:59-01:00"', "{}", "[1]",
    ]
)  # fmt: skip
MEMBERS = st.dictionaries(
    st.sampled_from(
        ["status", "units", "unitPrice", "weightKg", "placedAt", "isPaid", "ttl", "note", "item"]
    ),
    VALUES,
    max_size=4,
)


@given(st.lists(MEMBERS, max_size=5), st.none() | st.integers(1, 99))
def test_a_page_is_projected_as_its_documents_are(
    documents: list[dict[str, str]], lsn: int | None
) -> None:
    raws = [order(number, **members) for number, members in enumerate(documents, 1)]
    one_by_one: list[Any] = [ORDER_PROJECTION.document(raw, lsn=lsn) for raw in raws]
    # A page between ordinary ones, and by a projection that has learned nothing yet.
    for projection in (ORDER_PROJECTION, Projection(ORDER_PROJECTION.definition)):
        found = projection.page(page(raws), lsn=lsn)
        assert [row(w) for w in found.writes] == [row(p.write) for p in one_by_one if p.write]
        assert list(found.rejections) == [p.rejection for p in one_by_one if p.rejection]


def test_each_projection_learns_for_itself() -> None:
    raw = page([order(1), order(2, weightKg="1")])
    assert len(ORDER_PROJECTION.page(raw).rejections) == 0
    assert len(Projection(CARTS).page(raw).rejections) == 2
