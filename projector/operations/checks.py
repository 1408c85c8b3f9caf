"""What has to be so before a host may work: findings, and the two ways to ask for them.

There is one list of checks. `doctor` makes all of them and tells all; `run` makes the same ones,
waits while a server is down, logs what only deserves a warning, and refuses to start with the first
that failed. So nothing is looked at by one of them alone. The list itself stands in `source_checks`
and `target_checks`: a new check is one more `Check` there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import structlog

from projector.core.errors import (
    AccessRefused,
    KeyRefused,
    PreconditionFailed,
    ProjectorError,
    SinkUnavailable,
    SourceUnavailable,
)
from projector.telemetry.logs import Event

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

DATA_ROLE = (
    "with a key nothing is to be granted, look at the account's firewall; with Entra:"
    " az cosmosdb sql role assignment create --account-name ... --resource-group ..."
    ' --principal-id ... --scope / --role-definition-name "Cosmos DB Built-in Data Contributor"'
)
SET_KEY = (
    "set PROJECTOR_COSMOS_KEY to a key of this very account:"
    " az cosmosdb keys list --name ... --resource-group ..."
)
REACH_SOURCE = (
    "look at address and port in PROJECTOR_COSMOS_ENDPOINT, and whether this machine may go there"
)
REACH_TARGET = "look at host and port in PROJECTOR_DATABASE_URL, and whether the server runs"
SKEW_SECONDS = 5.0
"""How far another clock may be from this machine's."""

REMEDIES: tuple[tuple[type[ProjectorError], str], ...] = (
    (KeyRefused, SET_KEY),
    (AccessRefused, DATA_ROLE),
    (SourceUnavailable, REACH_SOURCE),
    (SinkUnavailable, REACH_TARGET),
)


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fact; `remedy` says what to do, empty when there is nothing to do."""

    check: str
    verdict: Verdict
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One look at the world.

    Attributes:
        name: of its findings; a check may tell more under names of their own.
        look: its findings; an error of ours is one, too.
        needs: names of checks without which this one cannot be made.
    """

    name: str
    look: Callable[[], Awaitable[Sequence[Finding]]]
    needs: tuple[str, ...] = ()


Look: TypeAlias = Callable[[], Awaitable[Sequence[Finding]]]
Wait: TypeAlias = Callable[[Look], Awaitable[Sequence[Finding]]]
"""Looks as soon as the server is there; raises what no waiting mends."""


def fine(check: str, detail: str) -> Finding:
    """Nothing to do."""
    return Finding(check=check, verdict=Verdict.OK, detail=detail)


def doubt(check: str, detail: str, remedy: str) -> Finding:
    """A host works all the same."""
    return Finding(check=check, verdict=Verdict.WARNING, detail=detail, remedy=remedy)


def fault(check: str, detail: str, remedy: str) -> Finding:
    """No host may work like this."""
    return Finding(check=check, verdict=Verdict.FAILED, detail=detail, remedy=remedy)


def skipped(check: str, detail: str) -> Finding:
    """It could not be looked at."""
    return Finding(check=check, verdict=Verdict.SKIPPED, detail=detail)


def skew(
    check: str, ours: datetime, theirs: datetime | None, *, resolution_seconds: float = 0.0
) -> Finding:
    """What the difference means; `theirs` is exact to `resolution_seconds`."""
    if theirs is None:
        return skipped(check, "it was not told")
    seconds = abs((ours - theirs).total_seconds())
    if seconds <= SKEW_SECONDS + resolution_seconds:
        return fine(check, f"{seconds:.1f} s from this machine's")
    return doubt(
        check,
        f"{seconds:.1f} s from this machine's; lags are shown wrong by as much",
        "synchronise the clocks (NTP); above 15 minutes requests are refused",
    )


async def examine(checks: Sequence[Check]) -> list[Finding]:
    """Make all of them, and tell what each found."""
    told: list[Finding] = []
    lacking: set[str] = set()
    for check in checks:
        unmet = [name for name in check.needs if name in lacking]
        if unmet:
            found: Sequence[Finding] = [skipped(check.name, f"it needs: {unmet[0]}")]
        else:
            found = await _looked(check)
        if any(one.verdict in {Verdict.FAILED, Verdict.SKIPPED} for one in found):
            lacking.add(check.name)
        told += found
    return told


async def require(checks: Sequence[Check], wait: Wait) -> None:
    """Make all of them, waiting while a server is down.

    Raises:
        PreconditionFailed: A check failed.
        ProjectorError: A check could not be made for a reason that waiting does not mend.
    """
    for check in checks:
        for one in await wait(check.look):
            if one.verdict is Verdict.FAILED:
                raise PreconditionFailed(
                    f"{one.check}: {one.detail}; {one.remedy}"
                    if one.remedy
                    else f"{one.check}: {one.detail}"
                )
            if one.verdict is Verdict.WARNING:
                log.warning(
                    Event.PRECONDITION_DOUBTFUL,
                    check=one.check,
                    detail=one.detail,
                    remedy=one.remedy,
                )


def failed(findings: Sequence[Finding]) -> bool:
    """Whether something has to be put right before a host can work."""
    return any(one.verdict is Verdict.FAILED for one in findings)


async def _looked(check: Check) -> Sequence[Finding]:
    try:
        return await check.look()
    except ProjectorError as error:
        return [refusal(check.name, error)]


def refusal(check: str, error: ProjectorError) -> Finding:
    """An error as a finding, with the remedy of its kind."""
    remedy = next((said for kind, said in REMEDIES if isinstance(error, kind)), "")
    return fault(check, " ".join(str(error).split()), remedy)
