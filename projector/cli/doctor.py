"""`projector doctor`: what a host will need, checked before it runs."""

from __future__ import annotations

import typer

from projector.cli.context import prepared_to_look
from projector.cli.entry import enter
from projector.cli.failures import ExitCode
from projector.cli.lines import answer
from projector.cli.output import print_json
from projector.operations.checks import failed
from projector.processor.clock import SystemClock
from projector.wiring import commands


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
