"""Findings, what they need, and the two ways to ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from projector.core.errors import KeyRefused, PreconditionFailed, SinkUnavailable
from projector.operations.checks import (
    SET_KEY,
    Check,
    Finding,
    Look,
    Verdict,
    doubt,
    examine,
    failed,
    fault,
    fine,
    require,
    skew,
)

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def check(name: str, *found: Finding | Exception, needs: tuple[str, ...] = ()) -> Check:
    async def look() -> Sequence[Finding]:
        for one in found:
            if isinstance(one, Exception):
                raise one
        return [one for one in found if isinstance(one, Finding)]

    return Check(name=name, look=look, needs=needs)


async def test_what_needs_a_failed_check_is_skipped_and_so_is_what_needs_that() -> None:
    told = await examine(
        [
            check("key", KeyRefused("wrong  key")),
            check("feed", fine("feed", "reads"), needs=("key",)),
            check("reads", fine("reads", "reads"), needs=("feed",)),
            check("server", doubt("server", "old", "renew it")),
            check("tables", fine("tables", "there"), needs=("server",)),
        ]
    )
    assert [(one.check, one.verdict) for one in told] == [
        ("key", Verdict.FAILED),
        ("feed", Verdict.SKIPPED),
        ("reads", Verdict.SKIPPED),
        ("server", Verdict.WARNING),
        ("tables", Verdict.OK),
    ]
    assert (told[0].detail, told[0].remedy) == ("wrong key", SET_KEY)
    assert failed(told)
    assert not failed(told[1:])


async def at_once(look: Look) -> Sequence[Finding]:
    return await look()


async def test_a_host_is_told_of_doubts_and_stopped_by_the_first_fault() -> None:
    checks = [
        check("ttl", doubt("ttl", "off", "switch it on")),
        check("rights", fault("rights", "none", "GRANT")),
        check("never", RuntimeError("it was looked at")),
    ]
    with capture_logs() as told, pytest.raises(PreconditionFailed, match="rights: none; GRANT"):
        await require(checks, at_once)
    assert [(one["event"], one["check"]) for one in told] == [("precondition_doubtful", "ttl")]


async def test_an_error_of_a_check_goes_to_whoever_waits() -> None:
    with pytest.raises(SinkUnavailable):
        await require([check("server", SinkUnavailable("down"))], at_once)


@pytest.mark.parametrize(
    ("seconds", "resolution", "verdict"),
    [
        (5, 0, Verdict.OK),
        (-6, 0, Verdict.WARNING),
        (-6, 1, Verdict.OK),
        (None, 0, Verdict.SKIPPED),
    ],
)
def test_clocks_may_differ_by_seconds(
    seconds: float | None, resolution: float, verdict: Verdict
) -> None:
    theirs = None if seconds is None else NOW + timedelta(seconds=seconds)
    assert skew("clock", NOW, theirs, resolution_seconds=resolution).verdict is verdict
