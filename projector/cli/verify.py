"""`projector verify`: whether SQL equals the container, and with `--repair` making it so."""

from __future__ import annotations

from typing import Any

import typer

from projector.cli.entry import enter, prepared_to_look
from projector.cli.failures import ExitCode
from projector.cli.lines import answer
from projector.cli.output import print_json
from projector.cli.progress import shown_progress
from projector.ports.verification import Difference
from projector.processor.clock import SystemClock
from projector.reconcile.report import VerifyReport
from projector.wiring import commands


def verify(*, repair: bool, generation: int | None, as_json: bool) -> None:
    """Compare PostgreSQL with the container both ways; exit code 3 when they differ."""
    settings = prepared_to_look()
    with shown_progress() as on_progress:
        report = enter(
            lambda: commands.verify(
                settings,
                clock=SystemClock(),
                repair=repair,
                on_progress=on_progress,
                generation=generation,
            )
        )
    if as_json:
        print_json(_document(report))
    else:
        noun = settings.projection.definition.noun
        for line in _lines(report, noun, repair=repair):
            answer(line)
    if not report.consistent:
        raise typer.Exit(ExitCode.DRIFT)


def _document(report: VerifyReport) -> dict[str, Any]:
    return {
        "consistent": report.consistent,
        "documents": report.documents,
        "rows": report.rows,
        "missing": report.missing,
        "extra": report.extra,
        "stale": report.stale,
        "totals_wrong": report.totals_wrong,
        "repaired": report.repaired,
        "pending": report.pending,
        "changing": report.changing,
        "before_start": report.before_start,
        "filtered": report.filtered,
        "examples": [_example(one) for one in report.examples],
        "totals_examples": list(report.totals_examples),
        "not_repaired": [_example(one) for one in report.unmended],
    }


def _example(one: Difference) -> dict[str, str]:
    return {
        "kind": one.kind,
        "partition_key": one.key.partition_key,
        "document_id": one.key.id,
        "detail": one.detail,
    }


def _lines(report: VerifyReport, noun: str, *, repair: bool) -> list[str]:
    lines = list(report.told(noun))
    lines += [
        f"not repaired: document {one.key.id} in {noun} {one.key.partition_key}: {one.detail}"
        for one in report.unmended
    ]
    lines.append(
        f"{report.documents} documents, {report.rows} rows: {report.missing} missing,"
        f" {report.extra} extra, {report.stale} stale, {report.totals_wrong} totals wrong;"
        f" {report.repaired} repaired"
    )
    if report.pending:
        lines.append(
            f"{report.pending} differences are pending: the feed has yet to bring them, and no host"
            " moves on there; see: projector health"
        )
    if report.changing:
        lines.append(f"{report.changing} documents changed at every look, and were left out")
    if report.before_start:
        lines.append(f"{report.before_start} documents are older than the start of the copy")
    if report.filtered:
        lines.append(f"{report.filtered} documents are passed over by the filter")
    lines.append(_conclusion(report, repair=repair))
    return lines


def _conclusion(report: VerifyReport, *, repair: bool) -> str:
    if report.consistent:
        return f"PostgreSQL equals the container{' again' if report.repaired else ''}"
    if not report.drift_left:
        return "PostgreSQL does not equal the container yet: what is pending is missing there"
    if repair:
        return "drift is left: see above"
    return "drift found; to mend it type: projector verify --repair"
