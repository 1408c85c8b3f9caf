"""Runs the tables of docs/reference/documents.md, so that the page says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from projector.core.epk import epk_of_json, routing_key
from projector.projection.writes import Rejection, RowWrite
from tests.carts import number_of, project_document, project_page, value_of
from tests.unit.projection.documents import document, extra, page, row

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "documents.md"
ROW = re.compile(r"\| (?:no `(?P<without>\w+)`|`(?P<members>.*?)`) \| (?P<outcome>.*) \|")


def read_tables() -> list[tuple[str, bytes, str]]:
    cases = []
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith(("| `", "| no `")):
            found = ROW.fullmatch(line)
            assert found, line
            without, members = found["without"], found["members"] or ""
            raw = document(members, without=[without] if without else [])
            name = (members or f"no {without}")[:50].encode("unicode_escape").decode()
            cases.append((name, raw, found["outcome"]))
    return cases


CASES = read_tables()
each_case = pytest.mark.parametrize(
    ("raw", "outcome"), [pytest.param(raw, outcome, id=name) for name, raw, outcome in CASES]
)


@each_case
def test_document_turns_into_what_the_reference_says(raw: bytes, outcome: str) -> None:
    projected = project_document(raw)

    if outcome.startswith("rejected: "):
        assert projected.rejection is not None
        check_rejection(projected.rejection, outcome)
        assert (projected.write is not None) is (projected.rejection.key is not None)
        assert projected.write is None or projected.write.deleted
    else:
        assert projected.rejection is None
        assert projected.write is not None
        check_write(projected.write, outcome)


@each_case
def test_document_turns_into_the_same_in_a_page(raw: bytes, outcome: str) -> None:
    del outcome
    projected = project_document(raw)

    found = project_page(page([document(), raw, document()]))

    middle = [row(write) for write in found.writes[1:-1]]
    assert middle == ([row(projected.write)] if projected.write else [])
    assert found.rejections == ((projected.rejection,) if projected.rejection else ())


def test_reference_has_its_tables() -> None:
    assert len(CASES) >= 119


def check_rejection(rejection: Rejection, outcome: str) -> None:
    assert f"rejected: `{rejection.reason}`" == outcome.partition(",")[0]
    key = claim("partition key", outcome)
    if key is not None:
        assert rejection.partition_key == key
        assert rejection.epk == routing_key(epk_of_json(key))


def check_write(write: RowWrite, outcome: str) -> None:
    assert write.deleted is (outcome == "removed")
    if write.deleted:
        return
    quantity = claim("quantity", outcome) or "1"
    price = claim("price", outcome)
    assert number_of(write, "quantity") == quantity.encode()
    assert number_of(write, "unit_price") == (None if price is None else price.encode())
    assert value_of(write, "currency") == claim("currency", outcome)
    assert write.epk == routing_key(epk_of_json(claim("partition key", outcome) or '"c"'))
    expected = re.search(r"extra `(.*)`$", outcome)
    if expected is None:
        assert write.extra is None
    else:
        assert exact(extra(write)) == exact(
            {n: bytes(v) for n, v in msgspec.json.decode(expected[1], type=Members).items()}
        )


Members = dict[str, msgspec.Raw]


def claim(name: str, outcome: str) -> str | None:
    found = re.search(rf"\b{name} `(.*?)`(?:,|$)", outcome)
    return found[1] if found else None


def exact(members: dict[str, bytes]) -> dict[str, object]:
    decode = msgspec.json.Decoder(float_hook=str.encode).decode
    return {name: decode(value) for name, value in members.items()}
