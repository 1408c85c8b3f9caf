"""What the tables of the reference cannot show: sizes, versions, and documents that are no JSON."""

from __future__ import annotations

import hashlib
import time

import pytest

from projector.core.epk import effective_partition_key, routing_key
from projector.projection.identity import can_be_asked_for
from projector.projection.values import exact_number
from projector.projection.writes import Rejection, RejectionReason, RowWrite
from tests.carts import project_document, value_of
from tests.unit.projection.documents import RID, document, finished

DIGEST = "\\sha256:"
DEEP = 100_000


def rejected(raw: bytes) -> Rejection:
    rejection = project_document(raw).rejection
    assert rejection is not None
    assert rejection.raw == raw
    return rejection


def written(raw: bytes) -> RowWrite:
    projected = project_document(raw)
    assert projected.rejection is None
    assert projected.write is not None
    return projected.write


def test_good_document_becomes_a_row() -> None:
    members = '"price": 1.50, "currency": "EUR", "note": "x", "ttl": -1'

    write = written(document(members, lsn=12, ts=99))

    assert (write.key, write.id, write.lsn, write.ts) == ("c", "1", 12, 99)
    assert write.etag == '"0d00b23f-0000-0000-0000-5c7712e80012"'
    assert write.epk == routing_key(effective_partition_key("c"))
    assert (value_of(write, "item"), value_of(write, "currency"), write.deleted) == (
        "Mug",
        "EUR",
        False,
    )
    assert bytes(write.extra or b"") == b'{"note":"x","ttl":-1}'


def test_tombstone_says_nothing_of_the_line() -> None:
    write = written(document('"ttl": 5, "price": 1, "note": "x"'))

    assert write.deleted
    assert (write.values, write.extra) == ((), None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("id", RejectionReason.BAD_ID),
        ("cartId", "bad_cart_id"),
        ("item", "bad_item"),
    ],
)
@pytest.mark.parametrize(
    ("text", "good"),
    [
        pytest.param("x" * 1024, True, id="1,024 bytes"),
        pytest.param("x" * 1025, False, id="1,025 bytes"),
        pytest.param("é" * 512, True, id="512 characters of two bytes"),
        pytest.param("é" * 512 + "x", False, id="513 characters, 1,025 bytes"),
        pytest.param("😀" * 256, True, id="256 characters of four bytes"),
        pytest.param("😀" * 257, False, id="257 characters of four bytes"),
        pytest.param("x" * 1_000_000, False, id="1 MB"),
    ],
)
def test_keys_and_items_have_at_most_1024_bytes(
    name: str, reason: RejectionReason, text: str, good: bool
) -> None:
    projected = project_document(document(f'"{name}": "{text}"'))

    assert (projected.rejection is None) is good
    assert projected.rejection is None or projected.rejection.reason == reason


def test_long_keys_stand_in_the_quarantine_as_their_digest() -> None:
    long_id = f'"{"x" * 1_000_000}"'

    assert rejected(document(f'"id": {long_id}')).id == (
        DIGEST + hashlib.sha256(long_id.encode()).hexdigest()
    )
    too_long = rejected(document(f'"cartId": {long_id}'))
    assert too_long.partition_key.startswith(DIGEST)
    assert too_long.epk is None
    assert not can_be_asked_for(too_long.partition_key)
    legal = f'"{"x" * 2048}"'
    assert rejected(document(f'"cartId": {legal}')).partition_key == legal


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param('"id": 5', r"\5", id="number"),
        pytest.param('"id": null', r"\null", id="null"),
        pytest.param('"id": ""', '\\""', id="empty"),
        pytest.param('"id": "a\\u0000b"', r'\"a\u0000b"', id="NUL"),
        pytest.param('"id": "\\ud800"', r'\"\ud800"', id="lone surrogate"),
    ],
)
def test_bad_ids_stand_in_the_quarantine_as_their_json(members: str, expected: str) -> None:
    rejection = rejected(document(members))

    assert rejection.id == expected
    assert not can_be_asked_for(rejection.partition_key)


def test_rejections_with_a_readable_key_can_be_asked_for() -> None:
    for members in ('"quantity": []', '"cartId": 5', '"cartId": null'):
        rejection = rejected(document(members))
        assert can_be_asked_for(rejection.partition_key)


def test_document_without_id_stands_under_its_rid() -> None:
    assert rejected(document(without=["id"])).id == r"\_rid:jFcSAI55Ns0CAAAAAAAAAA=="


def test_document_without_id_and_rid_stands_under_its_digest() -> None:
    raw = b'{"cartId":"c","_ts":1,"_lsn":1}'

    assert rejected(raw).id == DIGEST + hashlib.sha256(raw).hexdigest()


def test_bytes_that_are_no_text_are_shown_as_escapes_and_hashed_nowhere() -> None:
    rejection = rejected(finished(b'"id":"a\xff\x00","cartId":"c\xff","item":"i"'))

    assert rejection.id == r'\"a\xff\x00"'
    assert rejection.partition_key == r'\"c\xff"'
    assert rejection.epk is None
    assert rejection.key is None


def test_number_beyond_a_double_lies_nowhere() -> None:
    rejection = rejected(document('"cartId": 1e999'))

    assert (rejection.partition_key, rejection.epk) == (r"\1e999", None)


def test_whole_numbers_are_written_as_the_service_writes_them() -> None:
    assert (
        rejected(document('"cartId": 123456789012345678901')).partition_key
        == "123456789012345680000"
    )
    assert rejected(document('"cartId": 1234567890123456789012')).partition_key == (
        "1.2345678901234568e+21"
    )


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        pytest.param('"_ts":1', "_lsn", id="no _lsn"),
        pytest.param('"_ts":1,"_lsn":-1', "_lsn", id="negative _lsn"),
        pytest.param('"_ts":1,"_lsn":1.5', "_lsn", id="_lsn with a fraction"),
        pytest.param('"_ts":1,"_lsn":"1"', "_lsn", id="_lsn as text"),
        pytest.param('"_ts":1,"_lsn":null', "_lsn", id="_lsn null"),
        pytest.param('"_ts":1,"_lsn":9223372036854775808', "_lsn", id="_lsn beyond bigint"),
        pytest.param('"_lsn":1', "_ts", id="no _ts"),
        pytest.param('"_lsn":1,"_ts":true', "_ts", id="_ts true"),
        pytest.param('"_lsn":1,"_ts":253402300800', "_ts", id="_ts after the year 9999"),
    ],
)
def test_document_without_a_version_is_rejected_and_removes_nothing(
    properties: str, name: str
) -> None:
    raw = f'{{"id":"1","cartId":"c","item":"i","quantity":1,"ttl":5,{properties}}}'.encode()

    projected = project_document(raw)

    assert projected.write is None
    assert projected.rejection is not None
    assert projected.rejection.reason is RejectionReason.UNDECODABLE
    assert projected.rejection.detail.startswith(name)
    assert projected.rejection.key == "c"


def test_highest_version_and_time_are_good() -> None:
    write = written(document(lsn=2**63 - 1, ts=253_402_300_799))

    assert (write.lsn, write.ts) == (2**63 - 1, 253_402_300_799)


def test_missing_etag_is_empty_and_one_with_nul_is_rejected() -> None:
    plain = '{"id":"1","cartId":"c","item":"i","quantity":1,"_ts":1,"_lsn":1%s}'

    assert written((plain % "").encode()).etag == ""
    rejection = rejected((plain % ',"_etag":"a\\u0000"').encode())
    assert (rejection.reason, rejection.etag) == (
        RejectionReason.BAD_TEXT,
        "a\N{REPLACEMENT CHARACTER}",
    )


def test_own_properties_of_the_service_are_the_last_ones() -> None:
    assert written(document('"_lsn": 99999, "_ts": 1, "_etag": "mine"', lsn=7, ts=5)).lsn == 7


def test_point_read_has_the_version_of_the_read() -> None:
    assert project_document(document(lsn=None), lsn=55).write is not None
    projected = project_document(document(lsn=7), lsn=55)

    assert projected.write is not None
    assert projected.write.lsn == 55


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"", RejectionReason.UNDECODABLE, id="nothing"),
        pytest.param(b"{", RejectionReason.UNDECODABLE, id="an opening brace"),
        pytest.param(b"5", RejectionReason.NOT_AN_OBJECT, id="number"),
        pytest.param(b"null", RejectionReason.NOT_AN_OBJECT, id="null"),
        pytest.param(b'["a"]', RejectionReason.NOT_AN_OBJECT, id="array"),
        pytest.param(b'"\\ud800"', RejectionReason.NOT_AN_OBJECT, id="text with a surrogate"),
        pytest.param(b"[1", RejectionReason.UNDECODABLE, id="half an array"),
    ],
)
def test_what_is_no_object_is_rejected_under_its_digest(
    raw: bytes, reason: RejectionReason
) -> None:
    projected = project_document(raw)

    assert projected.write is None
    assert projected.rejection is not None
    assert projected.rejection.reason == reason
    assert projected.rejection.partition_key == "\\"
    assert projected.rejection.epk is None
    assert projected.rejection.id == DIGEST + hashlib.sha256(raw).hexdigest()


BROKEN = [
    pytest.param(b'"quantity":NaN', id="NaN"),
    pytest.param(b'"quantity":Infinity', id="infinity"),
    pytest.param(b'"quantity":', id="no value"),
    pytest.param(b'"quantity":1,,"x":2', id="comma after comma"),
    pytest.param(b'"quantity":1 "x":2', id="no comma"),
    pytest.param(b'"note":"unclosed', id="unclosed text"),
    pytest.param(b'"note":[1', id="unclosed array"),
    pytest.param(b'"note":{"a":1', id="unclosed object"),
    pytest.param(b'"note":]', id="bracket that nobody opened"),
    pytest.param(b'"note":"a\xffb"', id="no UTF-8"),
    pytest.param(b'"note":"\xed\xa0\x80"', id="surrogate as UTF-8"),
    pytest.param(b'"note":"a\x00b"', id="control character"),
    pytest.param(b'"note":"\\q"', id="unknown escape"),
    pytest.param(b"unquoted:1", id="unquoted key"),
    pytest.param(b'"note":' + b"[" * DEEP + b"]" * DEEP, id="deep array"),
    pytest.param(b'"note":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP, id="deep object"),
    pytest.param(b'"quantity":1,"note":' + b"[" * 128 + b"]" * 128, id="129 levels"),
]


@pytest.mark.parametrize("members", BROKEN)
def test_broken_document_still_has_its_key_and_version(members: bytes) -> None:
    raw = finished(b'"id":"1","cartId":"c","item":"i",' + members, lsn=31, ts=32)

    projected = project_document(raw)

    rejection, write = projected.rejection, projected.write
    assert rejection is not None
    assert write is not None
    assert rejection.reason is RejectionReason.UNDECODABLE
    assert (rejection.partition_key, rejection.id, rejection.key) == ('"c"', "1", "c")
    assert (rejection.lsn, rejection.ts) == (31, 32)
    assert rejection.etag.endswith('0031"')
    assert (write.key, write.id, write.lsn, write.deleted) == ("c", "1", 31, True)


@pytest.mark.parametrize("members", BROKEN)
def test_broken_document_with_a_marker_only_removes_its_row(members: bytes) -> None:
    raw = finished(b'"id":"1","cartId":"c","ttl":5,' + members)

    assert written(raw).deleted


@pytest.mark.parametrize("levels", [1, 50, 126, 127])
def test_nesting_up_to_128_levels_is_kept(levels: int) -> None:
    nested = "[" * levels + "]" * levels

    assert bytes(written(document(f'"note": {nested}')).extra or b"") == (
        f'{{"note":{nested}}}'.encode()
    )


def test_key_behind_the_break_is_not_trusted() -> None:
    rejection = rejected(finished(b'"note":"unclosed,"id":"1","cartId":"c"'))

    assert (rejection.partition_key, rejection.epk, rejection.key) == ("\\", None, None)


def test_keys_that_are_no_text_are_passed_over() -> None:
    assert rejected(finished(b'"\xff":1,"id":"1","cartId":"c"')).key == "c"


def test_details_are_short_and_one_line() -> None:
    rejection = rejected(document(f'"quantity": "{"x" * 1_000_000}"'))

    assert len(rejection.detail) < 200
    assert "\n" not in rejected(document('"quantity": [\n1]')).detail


@pytest.mark.parametrize(
    "text",
    [b"1e999999999999", b"-1e-999999999999", b"1" * 1_000_000, b"0." + b"0" * 1_000_000 + b"1"],
    ids=["huge", "tiny", "long", "long fraction"],
)
def test_extreme_numbers_cost_nothing(text: bytes) -> None:
    before = time.process_time()

    assert exact_number(text) is None
    assert time.process_time() - before < 10  # a million digits would take hours


def test_exponent_may_undo_a_long_text() -> None:
    assert exact_number(b"1" + b"0" * 1000 + b"e-1000") == b"1"
    assert exact_number(b"0." + b"0" * 1000 + b"5e1001") == b"5"
    assert exact_number(b"-0." + b"0" * 20) == b"0"
    assert exact_number(b"1e") is None


def test_rid_of_the_test_page_is_that_of_the_documents() -> None:
    assert RID.encode() in document()
