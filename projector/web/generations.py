"""A rebuild on the console: generations beside the live one, how far they are, what to type.

There is a section only while there is such a generation; nothing else of the page says the word.
"""

from __future__ import annotations

from collections.abc import Sequence

from projector.core.ranges import share
from projector.core.texts import several
from projector.ports.console import Board, StoredSide
from projector.ports.generations import FillPart, FillPhase, GenerationRecord, GenerationState
from projector.web import words
from projector.web.html import Column, Html, joined, table, tag

GENERATIONS = (
    Column("Generation"),
    Column("State", long=True),
    Column("Documents", number=True),
    Column("Since", number=True),
    Column("By whom, and why", long=True),
    Column("What to type"),
)
PARTS = (
    Column("Keys"),
    Column("Phase"),
    Column("Progress", long=True),
    Column("Host"),
    Column("What is wrong"),
)
SAID = {
    GenerationState.FILLING: "it is being filled",
    GenerationState.FOLLOWING: "it is filled and follows the feed",
    GenerationState.FORMER: "it was live; one may go back to it",
}
TYPED = {
    GenerationState.FILLING: ("status", "abort"),
    GenerationState.FOLLOWING: ("status", "promote", "abort"),
    GenerationState.FORMER: ("list", "rollback"),
}
MOST_PARTS = 64


def rebuild(board: Board) -> Html:
    """The whole section, or nothing."""
    stored = board.stored
    if stored is None or not stored.generations:
        return Html("")
    rows = [_generation(one, stored) for one in stored.generations]
    return tag(
        "section",
        tag("h2", "Rebuild", id="rebuild-heading"),
        tag(
            "div",
            table("Generations beside the live one", GENERATIONS, rows, nothing="There is none."),
            _parts(stored.fill_parts),
            class_="scroll",
        ),
        aria_labelledby="rebuild-heading",
        class_="rebuild",
    )


def _generation(one: GenerationRecord, stored: StoredSide) -> Sequence[object]:
    documents = one.documents
    if stored.fill_parts and one.state is GenerationState.FILLING:
        documents = sum(part.documents for part in stored.fill_parts)
    former = one.state is GenerationState.FORMER
    return (
        str(one.id),
        tag(
            "span",
            SAID.get(one.state, str(one.state)),
            class_=f"state {'current' if one.state is GenerationState.FOLLOWING else 'behind-within'}",
        ),
        "" if former and documents is None else words.count(documents),
        words.ago(one.live_until if former else one.created_at, stored.read_at, never=""),
        joined(one.who, f": {one.why}" if one.why else None),
        joined(
            *(
                tag("div", words.command("projector", "rebuild", way))
                for way in TYPED.get(one.state, ())
            )
        ),
    )


def _parts(parts: Sequence[FillPart]) -> Html | None:
    if not parts:
        return None
    worst_first = sorted(parts, key=lambda one: (one.error is None, one.feed_range))
    rows = [_part(one) for one in worst_first[:MOST_PARTS]]
    more = len(parts) - len(rows)
    return joined(
        table("Parts of the first load", PARTS, rows, nothing="There are no parts."),
        tag("p", f"and {several(more, 'part')} more") if more else None,
    )


def _part(one: FillPart) -> Sequence[object]:
    trouble = None if one.error is None else tag("span", one.error, class_="error")
    return (
        share(one.feed_range),
        one.phase.value,
        _progress(one),
        "nobody" if one.owner is None else one.owner,
        joined(trouble),
    )


def _progress(one: FillPart) -> Html:
    if one.phase in (FillPhase.LOADED, FillPhase.FINISHING):
        return joined(f"{one.documents:,} documents")
    if not one.expected:
        return joined(f"{one.documents:,} documents so far")
    told = f"{one.documents:,} of about {one.expected:,}"
    bar = tag(
        "progress",
        told,
        value=min(one.documents, one.expected),
        max=one.expected,
        aria_label=told,
    )
    return joined(bar, " ", told)
