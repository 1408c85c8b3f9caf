from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.core.errors import ContinuationRefused
from projector.core.names import Continuation
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.cosmos.continuations import at_lsn, composite, foreign_state, lsn_of

JAVA_STATE = {"V": 1, "Rid": "b0wPAK3lXxQ=", "Mode": "INCREMENTAL", "StartFrom": {"Type": "NOW"}}
RID = "b0wPAK3lXxQ="


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param('"1543"', 1543, id="as the service writes it"),
        pytest.param("1543", 1543, id="bare"),
        pytest.param('"0"', 0, id="start"),
        pytest.param('"9223372036854775807"', 2**63 - 1, id="largest"),
        pytest.param('"-1"', None, id="negative"),
        pytest.param('""', None, id="empty"),
        pytest.param("*", None, id="now"),
        pytest.param('W/"5"', None, id="weak"),
        pytest.param('"12345678901234567890123"', None, id="too long"),
        pytest.param('"٣"', None, id="digits of another script"),
        pytest.param("eyJWIjoxfQ==", None, id="state of another SDK"),
    ],
)
def test_lsn_of_reads_quoted_and_bare_numbers_only(text: str, number: int | None) -> None:
    assert lsn_of(Continuation(text)) == number


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_place_at_an_lsn_is_that_lsn(lsn: int) -> None:
    assert lsn_of(at_lsn(lsn)) == lsn


def test_composite_holds_the_etag_verbatim_and_one_range() -> None:
    token = json.loads(
        base64.b64decode(composite(Continuation('"5"'), FeedRange(min="05", max="FF"), RID))
    )
    assert token["containerRid"] == RID
    (only,) = token["continuation"]["continuation"]
    assert only["token"] == '"5"'
    assert (only["range"]["min"], only["range"]["max"]) == ("05", "FF")
    assert token["startFrom"] == {"Type": "Beginning"}


@pytest.mark.parametrize("text", ["*", "", " ", '"5" ', '"5\n"', "é", "x" * 5000])
def test_text_that_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ContinuationRefused):
        composite(Continuation(text), FULL_RANGE, RID)


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(base64.b64encode, id="standard"),
        pytest.param(base64.urlsafe_b64encode, id="url-safe"),
        pytest.param(lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"="), id="unpadded"),
    ],
)
def test_state_of_the_java_sdk_is_recognised_in_every_alphabet(encode: object) -> None:
    raw = json.dumps(JAVA_STATE | {"note": "ÿ>?~~~"}, ensure_ascii=False).encode()
    text = encode(raw).decode()  # type: ignore[operator]  # a function of bytes
    assert foreign_state(text)
    with pytest.raises(ContinuationRefused):
        composite(Continuation(text), FULL_RANGE, RID)


def test_state_of_the_python_sdk_is_recognised() -> None:
    assert foreign_state(composite(Continuation('"5"'), FULL_RANGE, RID))


@given(st.from_regex(r'\A("[0-9]{1,19}"|[0-9]{1,19})\Z'))
def test_no_etag_is_taken_for_the_state_of_another_sdk(text: str) -> None:
    assert not foreign_state(text)
    assert composite(Continuation(text), FULL_RANGE, RID)


@given(st.text())
def test_recognition_never_fails(text: str) -> None:
    assert foreign_state(text) in {True, False}
