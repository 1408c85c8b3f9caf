"""`projector explain`: one cart in the container and in PostgreSQL, and why they are as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from projector.cli.context import prepared_to_look
from projector.cli.entry import enter
from projector.cli.lines import answer
from projector.cli.output import print_json, shown
from projector.ports.explanation import StoredCart, StoredPosition
from projector.postgres.explain import stored_cart
from projector.processor.clock import SystemClock
from projector.reconcile.explain import Explanation, explain
from projector.settings import Settings
from projector.wiring.both_sides import both_sides


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    stored: StoredCart
    documents: Sequence[Explanation]


def explain_cart(cart_id: str, *, as_json: bool) -> None:
    """Show the documents, rows, positions and last decisions of one cart, and why."""
    settings = prepared_to_look()
    found = enter(lambda: _ask(settings, cart_id))
    if as_json:
        print_json(_document(cart_id, found))
        return
    for line in _lines(cart_id, found):
        answer(line)


async def _ask(settings: Settings, cart_id: str) -> _Answer:
    key = json.dumps(cart_id, ensure_ascii=False)
    async with both_sides(settings, clock=SystemClock()) as copy:
        # The tables first: what they lack then may have been read since, never the reverse.
        stored = await stored_cart(
            copy.connections,
            container_rid=copy.opened.container_rid,
            cart_id=cart_id,
            partition_key_json=key,
        )
        pages = await copy.opened.carts.read(key)
    return _Answer(stored=stored, documents=explain(pages, stored, selection=settings.selection))


def _document(cart_id: str, found: _Answer) -> dict[str, Any]:
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


def _lines(cart_id: str, found: _Answer) -> list[str]:
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
