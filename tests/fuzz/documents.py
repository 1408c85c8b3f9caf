"""Fuzzes the projection: `python -m tests.fuzz.documents --inputs 100000 --seed 1`.

Each input is a page with sound, odd and damaged documents, or the damaged bytes of one. It must be
projected without an exception (a page that is none is an outage), as its documents are one by one;
the sound neighbours of a damaged document must come through; and what comes out must be what the
database can take.
"""

from __future__ import annotations

import json
import random
import re

import msgspec

from projector.core.errors import SourceUnavailable
from projector.projection.carts import CARTS
from projector.projection.identity import can_be_asked_for
from projector.projection.project import document_of, fold
from projector.projection.writes import ProjectedPage, Rejection, RowWrite
from tests.carts import number_of, project_document, project_page, value_of
from tests.fuzz.inputs import damaged, json_text, main, quoted
from tests.unit.projection.documents import finished, page, row

USUAL = {
    "id": '"1"',
    "cartId": '"c"',
    "item": '"Mug"',
    "quantity": "1",
    "price": "2.50",
    "currency": '"EUR"',
}
OTHER_NAMES = ["ttl", "note", "options", "a"]
NAMES = [*USUAL, *OTHER_NAMES]
GENTLE = 0.6
PLAIN_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,10})?")
MAX_KEY_BYTES = 1_024


def check(rng: random.Random) -> None:
    """Check one input."""
    neighbours = [sound(rng, number) for number in range(3)]
    odd = [finished(members(rng), lsn=10 + number) for number in range(rng.randrange(3))]
    broken = [
        finished(damaged(rng, members(rng)), lsn=20 + number) for number in range(rng.randrange(3))
    ]
    documents = neighbours + odd + broken
    rng.shuffle(documents)
    body = page(documents)
    found = project_page(body)
    check_output(found)
    if not broken:
        check_one_by_one(found, documents)
    ids = {write.id for write in found.writes if not write.deleted}
    assert ids >= {f"sound {number}" for number in range(3)}, "a sound neighbour is missing"
    check_damaged_page(damaged(rng, body))


def sound(rng: random.Random, number: int) -> bytes:
    """A good document, sometimes with other fields."""
    more = f',"note":{quoted(rng.choice(["x", "é", "{[", "]}"]))}' if rng.random() < 0.5 else ""
    return finished(
        f'"id":"sound {number}","cartId":"c","item":"Mug","quantity":1{more}', lsn=number + 1
    )


def members(rng: random.Random) -> bytes:
    """The members of an odd document: the names of the contract with values of any kind."""
    gentle = rng.random() < GENTLE  # else hardly any document would be good
    names = [*rng.sample(NAMES, rng.randrange(len(NAMES))), *rng.choices(OTHER_NAMES, k=2)]
    if gentle:
        names = [*USUAL, *(name for name in names if name not in USUAL and name != "ttl")]
    parts = []
    for name in names:
        usual = name in USUAL and rng.random() < (0.97 if gentle else 0.6)
        parts.append(f"{quoted(name)}:{USUAL[name] if usual else json_text(rng, NAMES)}")
    return ",".join(parts).encode()


def check_one_by_one(found: ProjectedPage, documents: list[bytes]) -> None:
    """The page is what its documents are one by one."""
    projected = [project_document(raw) for raw in documents]
    assert [row(w) for w in found.writes] == [row(p.write) for p in projected if p.write]
    assert list(found.rejections) == [p.rejection for p in projected if p.rejection]
    assert found.delivered == len(documents)


def check_damaged_page(body: bytes) -> None:
    """A page damaged anywhere is projected, or is an outage."""
    try:
        found = project_page(body)
    except SourceUnavailable:
        return
    check_output(found)


def check_output(found: ProjectedPage) -> None:
    """All that came out is what the database can take."""
    for write in found.writes:
        check_write(write)
    for rejection in found.rejections:
        check_rejection(rejection)
    batch = fold([found, found])
    keys = [(write.key, write.id) for write in batch.writes]
    assert keys == sorted(set(keys))
    for write in batch.writes:
        if not write.deleted:
            told = json.loads(document_of(write, CARTS), parse_int=str)
            assert (told["cartId"], told["id"]) == (write.key, write.id)


def check_write(write: RowWrite) -> None:
    """A write is good: sizes, characters, numbers."""
    for text in (write.key, write.id, *([] if write.deleted else [value_of(write, "item")])):
        assert 0 < len(text.encode()) <= MAX_KEY_BYTES
        assert "\0" not in text
    assert 0 <= write.epk < 1 << 62
    assert 0 <= write.lsn < 1 << 63
    assert "\0" not in write.etag
    if write.deleted:
        assert write.values == ()
        return
    for number in (number_of(write, "quantity"), number_of(write, "unit_price")):
        assert number is None or PLAIN_NUMBER.fullmatch(number)
    assert number_of(write, "quantity") is not None
    currency = value_of(write, "currency")
    assert currency is None or re.fullmatch("[A-Z]{3}", currency)
    if write.extra is not None:
        check_extra(json.loads(bytes(write.extra), parse_constant=refuse, parse_int=str))


def check_extra(value: object) -> None:
    """No text of the other fields holds what `jsonb` refuses."""
    assert isinstance(value, dict)
    text = json.dumps(value, ensure_ascii=False)
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode()


def refuse(constant: str) -> None:
    """NaN and the infinities are no JSON."""
    raise AssertionError(constant)


def check_rejection(rejection: Rejection) -> None:
    """A rejection can be stored: no NUL, no surrogate; its key is short."""
    for text in (rejection.partition_key, rejection.id, rejection.etag, rejection.detail):
        assert "\0" not in text
        text.encode()
    assert rejection.id
    assert len(rejection.id.encode()) <= MAX_KEY_BYTES
    assert len(rejection.detail) < 300
    if can_be_asked_for(rejection.partition_key):
        assert rejection.epk is not None
    if rejection.epk is not None:
        msgspec.json.decode(rejection.partition_key.removeprefix("\\"))


if __name__ == "__main__":
    main(check, "Fuzz the projection of documents and pages.")
