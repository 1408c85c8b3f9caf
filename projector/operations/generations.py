"""Which generation is meant, and what is said where there is none, or one too many. Decides by the registry alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from projector.core.errors import RebuildError
from projector.ports.generations import BEING_MADE, FED, GenerationRecord, GenerationState

LONG_AGO = datetime.min.replace(tzinfo=UTC)

TO_FOLLOW = "projector rebuild status --watch"
TO_PROMOTE = "projector rebuild promote"
TO_ROLL_BACK = "projector rebuild rollback"
TO_ABORT = "projector rebuild abort"
TO_START = "projector rebuild start"


def live_of(records: Sequence[GenerationRecord]) -> GenerationRecord:
    """The generation that the views read.

    Raises:
        RebuildError: There is none.
    """
    for one in records:
        if one.state is GenerationState.LIVE:
            return one
    raise RebuildError(
        "no generation is live: the database was not made by this program; see projector db current"
    )


def numbered(records: Sequence[GenerationRecord], number: int | None) -> GenerationRecord:
    """The generation of that number; None: the live one.

    Raises:
        RebuildError: There is none, or its rows are gone.
    """
    if number is None:
        return live_of(records)
    for one in records:
        if one.id == number:
            if one.state in FED:
                return one
            raise RebuildError(f"generation {number} is {one.state}: its rows are gone")
    raise RebuildError(f"there is no generation {number}; see: projector rebuild list")


def being_made(records: Sequence[GenerationRecord]) -> GenerationRecord | None:
    """The generation of the rebuild that is under way; at most one is."""
    return next((one for one in records if one.state in BEING_MADE), None)


def meant(records: Sequence[GenerationRecord]) -> GenerationRecord:
    """The generation to promote, to abort, to look at.

    Raises:
        RebuildError: No rebuild is under way.
    """
    found = being_made(records)
    if found is None:
        raise RebuildError(f"no rebuild is under way; begin one: {TO_START}")
    return found


def refuse_second(records: Sequence[GenerationRecord]) -> None:
    """Raise RebuildError when a rebuild is under way already."""
    found = being_made(records)
    if found is not None:
        raise RebuildError(
            f"a rebuild is under way already: generation {found.id} is {found.state}{begun(found)};"
            f" follow it: {TO_FOLLOW}; make it live: {TO_PROMOTE}; give it up: {TO_ABORT}"
        )


def former_of(records: Sequence[GenerationRecord]) -> GenerationRecord | None:
    """The generation that one may go back to: the one of those that are fed still that was live last."""
    former = [one for one in records if one.state is GenerationState.FORMER]
    return max(former, key=lambda one: one.live_until or LONG_AGO, default=None)


def to_go_back_to(records: Sequence[GenerationRecord]) -> GenerationRecord:
    """The same.

    Raises:
        RebuildError: There is none.
    """
    former = former_of(records)
    if former is not None:
        return former
    retired = [one.id for one in records if one.state is GenerationState.RETIRED]
    gone = f"generation {max(retired)} is no longer fed" if retired else "there is no former one"
    raise RebuildError(
        f"generation {live_of(records).id} is live, and {gone}: nothing to go back to; a new one is made by:"
        f" {TO_START}"
    )


def begun(record: GenerationRecord) -> str:
    """Since when and by whom, as far as it is known."""
    since = "" if record.created_at is None else f" since {record.created_at:%Y-%m-%d %H:%M:%SZ}"
    return since + (f", begun by {record.who}" if record.who else "")
