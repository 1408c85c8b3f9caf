"""What a page's answer means, for answers that no emulator gives."""

from __future__ import annotations

import pytest

from projector.core.errors import SourceRecreated, SourceUnavailable
from projector.core.names import Continuation
from projector.cosmos.change_source import _check_body, _first_lsn, _position
from projector.cosmos.wire import Answer

RID = "b0wPAK3lXxQ="
PLACE = Continuation('"9"')


@pytest.mark.parametrize("status", [200, 304])
def test_etag_of_any_answer_is_the_place_after_it(status: int) -> None:
    assert _position(Answer(status=status, body=b"", etag='"10"'), PLACE) == '"10"'


def test_nothing_new_without_an_etag_stays_where_it_was() -> None:
    assert _position(Answer(status=304, body=b""), PLACE) == PLACE


@pytest.mark.parametrize(
    ("status", "before"),
    [
        pytest.param(200, PLACE, id="page that ends nowhere"),
        pytest.param(304, None, id="nothing from the start"),
    ],
)
def test_place_that_is_not_told_is_an_outage_never_the_start(
    status: int, before: Continuation | None
) -> None:
    with pytest.raises(SourceUnavailable, match="etag"):
        _position(Answer(status=status, body=b"{}"), before)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"_rid":"b0wPAK3lXxQ=","Documents":[]}', id="same"),
        pytest.param(b' { "_rid" : "b0wPAK3lXxQ=" }', id="spaced"),
        pytest.param(b'{"Documents":[{"_rid":"other"}]}', id="not told"),
        pytest.param(b"", id="empty"),
    ],
)
def test_page_of_the_expected_container_passes(body: bytes) -> None:
    _check_body(body, RID)


def test_page_of_another_container_does_not() -> None:
    with pytest.raises(SourceRecreated) as caught:
        _check_body(b'{"_rid":"other","Documents":[]}', RID)
    assert (caught.value.expected_rid, caught.value.found_rid) == (RID, "other")


@pytest.mark.parametrize(
    ("body", "lsn"),
    [
        pytest.param(b'{"Documents":[{"a":{"_lsn":1},"_lsn":7},{"_lsn":8}]}', 7, id="decoded"),
        pytest.param(b'{"Documents":[{"a":"\xff","_lsn":7},{"_lsn":8}]}', 7, id="bad text"),
        pytest.param(
            b'{"Documents":[{"a":NaN,"a2":{"_lsn":1},"_lsn":7}]}', 1, id="lowest in doubt"
        ),
        pytest.param(b'{"Documents":[]}', 9, id="no document"),
    ],
)
def test_first_change_is_never_placed_too_late(body: bytes, lsn: int) -> None:
    assert _first_lsn(body, PLACE) == lsn
