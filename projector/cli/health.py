"""`projector health`, whether the copy can be believed now; `projector doctor`, what a host will need."""

from __future__ import annotations

from typing import Any

import typer

from projector.cli.entry import enter, prepared_to_look
from projector.cli.failures import ExitCode
from projector.cli.lines import answer, say
from projector.cli.output import print_json
from projector.core.health import Diagnosis, Judged
from projector.operations.checks import failed
from projector.operations.status import Status
from projector.processor.clock import SystemClock
from projector.settings import required_endpoint
from projector.wiring import commands


def health(*, as_json: bool) -> None:
    """Print the verdict and its reason; exit code 1 unless it is within the limits."""
    settings = prepared_to_look()
    required_endpoint(settings)
    found = enter(lambda: commands.look(settings, clock=SystemClock()))
    if as_json:
        print_json(document_of(found.diagnosis))
    else:
        _print(found)
    if not found.diagnosis.healthy:
        raise typer.Exit(ExitCode.FAILURE)


def document_of(diagnosis: Diagnosis) -> dict[str, Any]:
    """The verdict as programs read it."""
    return {
        "healthy": diagnosis.healthy,
        "health": diagnosis.health,
        "reason": diagnosis.reason,
        "ranges": [_range(one) for one in diagnosis.ranges],
    }


def _range(one: Judged) -> dict[str, Any]:
    facts, verdict = one.facts, one.verdict
    return {
        "lease_token": facts.lease_token,
        "feed_range": facts.feed_range,
        "owner": facts.owner,
        "state": facts.state,
        "health": verdict.health,
        "reason": verdict.reason,
        "gap_changes": facts.gap_changes,
        "lag_seconds": facts.lag_seconds,
        "read_age_seconds": facts.read_age_seconds,
        "commit_age_seconds": facts.commit_age_seconds,
        "complete_age_seconds": facts.complete_age_seconds,
    }


def _print(found: Status) -> None:
    diagnosis = found.diagnosis
    answer(f"{diagnosis.health}: {diagnosis.reason}")
    for one in diagnosis.ranges:
        facts, verdict = one.facts, one.verdict
        name = facts.lease_token or "no range"
        answer(f"  {name} {facts.feed_range or ''} {verdict.health}: {verdict.reason}")
    for line in found.silent:
        say(f"not everything is known: {line}")


def doctor(*, as_json: bool) -> None:
    """Check endpoint, rights, containers, PostgreSQL and clocks; exit code 1 when something is missing."""
    settings = prepared_to_look()
    findings = enter(lambda: commands.doctor(settings, clock=SystemClock()))
    if as_json:
        rows = [
            {
                "check": one.check,
                "verdict": one.verdict,
                "detail": one.detail,
                "remedy": one.remedy or None,
            }
            for one in findings
        ]
        print_json({"healthy": not failed(findings), "findings": rows})
    else:
        for one in findings:
            answer(f"{one.verdict:8} {one.check}: {one.detail}")
            if one.remedy:
                answer(f"         to do: {one.remedy}")
    if failed(findings):
        raise typer.Exit(ExitCode.FAILURE)
