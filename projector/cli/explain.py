"""`projector explain`: one cart in the container and in PostgreSQL, and why they are as they are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from projector.cli.entry import enter, prepared_to_look
from projector.cli.lines import answer
from projector.cli.output import print_json, shown
from projector.operations.explain import ExplainedCart
from projector.ports.explanation import StoredPosition
from projector.processor.clock import SystemClock
from projector.wiring import commands


def explain_cart(cart_id: str, *, as_json: bool) -> None:
    """Show the documents, rows, positions and last decisions of one cart, and why."""
    settings = prepared_to_look()
    found = enter(lambda: commands.explain(settings, cart_id, clock=SystemClock()))
    if as_json:
        print_json(_document(cart_id, found))
        return
    for line in _lines(cart_id, found):
        answer(line)


def _document(cart_id: str, found: ExplainedCart) -> dict[str, Any]:
    position = found.stored.position
    return {
        "cart_id": cart_id,
        "position": None if position is None else asdict(position),
        "documents": [
            {
                "id": one.id,
                "in_container": one.in_container,
                "in_rows": one.in_rows,
                "etag": one.etag,
                "decision": one.decision,
                "row": None if one.line is None else asdict(one.line),
                "quarantine": None if one.entry is None else asdict(one.entry),
            }
            for one in found.documents
        ],
    }


def _lines(cart_id: str, found: ExplainedCart) -> list[str]:
    lines = [f"cart {cart_id}: {_place(found.stored.position)}"]
    if not found.documents:
        return [*lines, "neither the container nor PostgreSQL has a document of this cart"]
    for one in found.documents:
        lines.append(f"document {one.id}: {one.in_container} in the container, row {one.in_rows}")
        line = one.line
        if line is not None and not line.deleted:
            price = "" if line.unit_price is None else f" at {line.unit_price}"
            lines.append(
                f"  row: {line.quantity} x {line.item}{price} {line.currency or ''}".rstrip()
            )
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
