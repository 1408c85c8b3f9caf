from __future__ import annotations

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    DecodeError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)
from azure.cosmos.exceptions import CosmosHttpResponseError

from projector.core.errors import (
    ConfigurationError,
    CredentialExpired,
    Disposition,
    FeedRangeGone,
    PageTooLarge,
    ProjectorError,
    SourceMissing,
    SourceUnavailable,
    Throttled,
)
from projector.cosmos.faults import (
    MAX_REASON,
    ContainerLabel,
    Refusal,
    reason_of,
    refused,
    translate,
)

LABEL = ContainerLabel(endpoint="https://acme/", database="shop", container="cart")


@pytest.mark.parametrize(
    ("status", "substatus", "expected"),
    [
        (400, None, ConfigurationError),
        (401, None, ConfigurationError),
        (403, None, ConfigurationError),
        (403, 3, SourceUnavailable),
        (403, 1008, SourceUnavailable),
        (403, 5300, CredentialExpired),
        (404, None, SourceMissing),
        (404, 0, SourceMissing),
        (404, 1002, SourceUnavailable),
        (404, 1003, SourceMissing),
        (404, 1008, SourceUnavailable),
        (408, None, SourceUnavailable),
        (410, 1002, FeedRangeGone),
        (410, 1007, FeedRangeGone),
        (410, None, FeedRangeGone),
        (413, None, PageTooLarge),
        (429, 3200, Throttled),
        (449, None, SourceUnavailable),
        (500, None, SourceUnavailable),
        (503, 20001, SourceUnavailable),
        (418, None, SourceUnavailable),
    ],
)
def test_every_refusal_has_one_meaning(
    status: int, substatus: int | None, expected: type[ProjectorError]
) -> None:
    assert isinstance(refused(Refusal(status=status, substatus=substatus), LABEL), expected)


def test_throttling_without_a_wait_still_waits() -> None:
    error = refused(Refusal(status=429), LABEL)
    assert isinstance(error, Throttled)
    assert error.retry_after_seconds > 0


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        pytest.param(
            CosmosHttpResponseError(  # type: ignore[no-untyped-call]  # the SDK's constructor
                status_code=503, message='{"message":"busy\\nlater"}'
            ),
            SourceUnavailable,
            "503 busy",
            id="refusal",
        ),
        pytest.param(
            ServiceRequestError("Cannot connect to host"),
            SourceUnavailable,
            "PROJECTOR_COSMOS_ENDPOINT",
            id="unreachable",
        ),
        pytest.param(
            ServiceResponseTimeoutError("slow"), SourceUnavailable, "in time", id="read timeout"
        ),
        pytest.param(TimeoutError(), SourceUnavailable, "in time", id="deadline"),
        pytest.param(
            RecursionError("too deep"), SourceUnavailable, "RecursionError", id="recursion"
        ),
        pytest.param(DecodeError("no JSON"), SourceUnavailable, "no JSON", id="undecodable"),
        pytest.param(
            ClientAuthenticationError("nobody signed in"),
            ConfigurationError,
            "PROJECTOR_COSMOS_KEY",
            id="no credential",
        ),
        pytest.param(KeyError("_rid"), SourceUnavailable, "_rid", id="SDK bug"),
    ],
)
def test_every_error_becomes_one_line_of_ours(
    error: Exception, expected: type[ProjectorError], words: str
) -> None:
    translated = translate(error, LABEL)
    assert isinstance(translated, expected)
    assert words in str(translated)
    assert "\n" not in str(translated)


def test_error_of_ours_is_kept() -> None:
    error = SourceMissing("gone")
    assert translate(error, LABEL) is error


def test_outages_are_retried_and_wrong_settings_are_not() -> None:
    assert refused(Refusal(status=503), LABEL).disposition is Disposition.RETRY
    assert refused(Refusal(status=401), LABEL).disposition is Disposition.ASK_PERSON


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b'{"code":"X","message":"why\\nActivityId: 1"}', "why", id="error body"),
        pytest.param(b"<html>\nproxy", "<html>", id="not JSON"),
        pytest.param(b"\xff\xfe", "\ufffd\ufffd", id="not text"),
        pytest.param(None, "", id="none"),
        pytest.param("x" * 1000, "x" * (MAX_REASON - 1) + "…", id="too long"),
    ],
)
def test_reason_is_one_short_line(body: object, reason: str) -> None:
    assert reason_of(body) == reason
