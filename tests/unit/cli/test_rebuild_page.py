from __future__ import annotations

import io
from itertools import pairwise

from rich.console import Console

from projector.cli.rebuild_page import line, page
from projector.cli.rebuild_words import refusal
from projector.core.ranges import FeedRange
from projector.operations.rebuild import Compared, Verdict
from projector.operations.rebuild_progress import UNTOUCHED, Look, Meter, Progress
from projector.ports.generations import FillPart, FillPhase, GenerationRecord, GenerationState
from projector.projection.carts import CARTS

RECORD = GenerationRecord(
    id=2,
    schema="projector_g2",
    control="projector_g2",
    definition=CARTS,
    definition_hash="",
    processor_name="projector",
    state=GenerationState.FILLING,
    who="ann\x1b[2J@desk",
)


def loading(count: int) -> Progress:
    """So many parts, the second half of them loaded, of a container of 50,000 documents."""
    bounds = ["", *(f"{number:02X}" for number in range(1, count)), "FF"]

    def look(done: int) -> Look:
        parts = [
            FillPart(
                feed_range=FeedRange(min=low, max=high),
                phase=FillPhase.LOADING if number < count / 2 else FillPhase.LOADED,
                documents=done,
                expected=50_000 // count,
                request_units=done * 0.023,
                owner="a-host-with-a-name-that-is-long",
            )
            for number, (low, high) in enumerate(pairwise(bounds))
        ]
        return Look(record=RECORD, parts=parts)

    meter = Meter()
    meter.measured(look(100), now=0.0)
    return meter.measured(look(300), now=10.0)


def drawn(progress: Progress, *, height: int | None = 24, colours: bool = False) -> str:
    paper = io.StringIO()
    console = Console(file=paper, width=80, height=24, force_terminal=True, no_color=not colours)
    console.print(page(progress, height=height))
    return paper.getvalue()


def test_a_page_fits_a_terminal_of_80_columns_and_24_lines_however_many_parts_there_are() -> None:
    lines = drawn(loading(50)).splitlines()
    assert len(lines) < 24
    text = "\n".join(lines)
    assert "GENERATION 2" in text
    assert "15,000 of about 50,000 documents" in text
    assert "about 30%" in text
    assert "1,000 a second, about 35 s left" in text
    assert "345 of about 1,150 request units" in text
    assert "waits: 25 of 50 parts are loaded" in text
    assert "and 35 more" in text
    assert "100%" not in text, "what is done is left out first"


def test_no_colours_where_none_are_wanted() -> None:
    assert "\x1b[3" not in drawn(loading(4))
    assert "\x1b[3" in drawn(loading(4), colours=True)


def test_what_strangers_wrote_does_not_steer_the_terminal() -> None:
    assert "\x1b[2J" not in drawn(loading(4))


def test_a_line_tells_the_same_where_there_is_no_terminal() -> None:
    assert line(loading(4)) == (
        "generation 2: loading, about 2%, 1,200 of about 50,000 documents, 80 a second,"
        " about 10 min 10 s left, 28 of about 1,150 request units, waits: 2 of 4 parts are loaded"
    )


def test_nothing_known_is_said_to_be_unknown() -> None:
    progress = Meter().measured(Look(record=RECORD), now=0.0)
    assert "unknown" in drawn(progress)
    assert line(progress) == f"generation 2: waiting, unknown, waits: {UNTOUCHED}"


def test_a_refusal_names_what_differs_and_what_to_type() -> None:
    compared = Compared(
        consistent=False, counts={"stale": 1}, lines=["stale: document 7 in cart c: quantity"]
    )
    told = refusal(Verdict(record=RECORD, compared=compared, against=["1 rows are wrong"]))
    assert told[0] == "stale: document 7 in cart c: quantity"
    assert told[1] == "generation 2 is not promoted: 1 rows are wrong"
    assert "projector verify --generation 2 --repair" in told[2]
    assert "projector rebuild promote --force" in told[2]
