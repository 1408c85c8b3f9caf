"""Array literals: read back by the rules of PostgreSQL's array input."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from projector.postgres.columns import columns_of, text_array
from projector.projection.carts import CARTS
from projector.projection.writes import RowWrite

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def parsed(literal: bytes) -> list[str | None]:
    """What the server reads: a backslash takes the next character as it is, unquoted null is NULL."""
    text = literal.decode()
    assert (text[0], text[-1]) == ("{", "}")
    values: list[str | None] = []
    position, end = 1, len(text) - 1
    while position < end:
        if text[position] == '"':
            position += 1
            value = ""
            while text[position] != '"':
                position += text[position] == "\\"
                value += text[position]
                position += 1
            values.append(value)
            position += 1
        else:
            assert text[position : position + 4] == "null"
            values.append(None)
            position += 4
        assert position == end or text[position] == ","
        position += 1
    return values


@given(st.lists(st.one_of(st.none(), TEXT)))
def test_texts_read_back(texts: list[str | None]) -> None:
    assert parsed(text_array(texts)) == texts


@given(st.lists(st.one_of(st.none(), st.dictionaries(TEXT, TEXT, max_size=2)), min_size=1))
def test_json_reads_back(extras: list[dict[str, str] | None]) -> None:
    writes = [
        RowWrite(
            key="c",
            id="i",
            epk=1,
            lsn=2,
            ts=3,
            etag="",
            extra=None if extra is None else msgspec.Raw(msgspec.json.encode(extra)),
        )
        for extra in extras
    ]
    found = parsed(columns_of(writes, CARTS)["extra"])
    assert [None if one is None else msgspec.json.decode(one) for one in found] == extras


def test_plain_columns() -> None:
    values = ("Pen", msgspec.Raw(b"1.50"), None, None)
    write = RowWrite("c", "i", epk=1, lsn=2, ts=3, etag="", values=values)
    columns = columns_of([write, msgspec.structs.replace(write, deleted=True, values=())], CARTS)
    assert columns["epk"] == b"{1,1}"
    assert columns["deleted"] == b"{false,true}"
    assert columns["n_quantity"] == b"{1.50,null}"
    assert columns["n_item"] == b'{"Pen",null}'
    assert columns["n_currency"] == b"{null,null}"
