"""`projector explain`: one key in the container and in PostgreSQL, and why they are as they are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from projector.cli.entry import enter, prepared_to_look
from projector.cli.lines import answer
from projector.cli.output import print_json, shown
from projector.operations.explain import ExplainedKey
from projector.ports.explanation import StoredPosition, StoredRow
from projector.processor.clock import SystemClock
from projector.projection.definition import Definition
from projector.wiring import commands


def explain_key(key: str, *, as_json: bool) -> None:
    """Show the documents, rows, positions and last decisions of one key, and why."""
    settings = prepared_to_look()
    definition = settings.projection.definition
    found = enter(lambda: commands.explain(settings, key, clock=SystemClock()))
    if as_json:
        print_json({definition.key.column: key, **_document(found)})
        return
    for line in _lines(definition, key, found):
        answer(line)


def _document(found: ExplainedKey) -> dict[str, Any]:
    position = found.stored.position
    return {
        "position": None if position is None else asdict(position),
        "documents": [
            {
                "id": one.id,
                "in_container": one.in_container,
                "in_rows": one.in_rows,
                "etag": one.etag,
                "decision": one.decision,
                "row": None if one.row is None else _row(one.row),
                "quarantine": None if one.entry is None else asdict(one.entry),
            }
            for one in found.documents
        ],
    }


def _row(row: StoredRow) -> dict[str, Any]:
    told = asdict(row)
    values = told.pop("values")
    return {**told, **values}


def _lines(definition: Definition, key: str, found: ExplainedKey) -> list[str]:
    lines = [f"{definition.noun} {key}: {_place(found.stored.position)}"]
    if not found.documents:
        nobody = f"neither the container nor PostgreSQL has a document of this {definition.noun}"
        return [*lines, nobody]
    for one in found.documents:
        lines.append(f"document {one.id}: {one.in_container} in the container, row {one.in_rows}")
        if one.row is not None and not one.row.deleted:
            lines.append(f"  row: {definition.told(one.row.values)}")
        lines.append(f"  {one.decision}")
    return lines


def _place(position: StoredPosition | None) -> str:
    if position is None:
        return "no range of PostgreSQL holds it"
    replay = ", a replay is open" if position.replay_open else ""
    return (
        f"in lease {position.lease_token}, owner {position.owner or 'nobody'},"
        f" at LSN {shown(position.lsn)} (time {shown(position.time)},"
        f" last commit {shown(position.last_commit_at)}){replay}"
    )
