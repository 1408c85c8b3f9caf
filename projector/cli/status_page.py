"""`projector status` on a terminal: what it all means first, the worst range first, in 80 columns.

Pure drawing: it gets one look at the ranges and asks nobody.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from projector.cli.output import UNKNOWN, shown
from projector.core.health import GRAVEST_FIRST, Health, Judged
from projector.core.ranges import share
from projector.core.texts import duration, printable, several
from projector.operations.status import RangeStatus, Status

STYLES = {
    Health.CURRENT: "green",
    Health.BEHIND: "yellow",
    Health.NOT_ADVANCING: "bold red",
    Health.UNKNOWN: "bold magenta",
}
MOST_REASONS = 5
MOST_NAMES = 8
BESIDE_ROWS = 4
"""Lines of the page beside heading, rows and reasons: two of the table, what is more, the cursor."""
NOTHING_KNOWN = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A range, or keys without one, and what is to be said of it."""

    judged: Judged
    range: RangeStatus | None


def page(found: Status, *, now: datetime, height: int | None = None) -> RenderableType:
    """The page; with `height` cut to so many lines of a terminal.

    Args:
        found: the look.
        now: for ages.
        height: lines to fill at most; None for as many as it takes.
    """
    lines = _worst_first(found)
    heading = _heading(found, now=now)
    reasons = _reasons(lines)
    fitting = len(lines)
    if height is not None:
        for text in (*heading, *reasons):
            text.no_wrap, text.overflow = True, "crop"
        fitting = max(1, height - len(heading) - len(reasons) - BESIDE_ROWS)
    parts: list[RenderableType] = [*heading]
    if lines:
        parts += ["", _table(lines[:fitting])]
    if len(lines) > fitting:
        parts.append(Text(f"and {len(lines) - fitting} more, none of them worse", style="dim"))
    return Group(*parts, *reasons)


def details(found: Status) -> RenderableType:
    """Everything that is known of each range, the worst first."""
    blocks: list[RenderableType] = []
    for line in _worst_first(found):
        blocks.append("")
        blocks.append(Text(_name(line), style="bold"))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True, style="dim")
        grid.add_column(overflow="fold")
        for name, value in _facts(line):
            grid.add_row(f"  {name}", Text(shown(value)))
        blocks.append(grid)
    return Group(*blocks)


def _worst_first(found: Status) -> Sequence[_Line]:
    of_range: list[RangeStatus | None] = [*found.ranges]
    of_range += [None] * (len(found.diagnosis.ranges) - len(of_range))
    pairs = zip(found.diagnosis.ranges, of_range, strict=True)
    return sorted((_Line(judged=judged, range=one) for judged, one in pairs), key=_badness)


def _badness(line: _Line) -> tuple[int, float]:
    verdict = line.judged.verdict
    seconds = math.inf if verdict.seconds is None else verdict.seconds
    return GRAVEST_FIRST.index(verdict.health), -seconds


def _heading(found: Status, *, now: datetime) -> list[Text]:
    told = found.diagnosis
    verdict = Text(told.health.words.upper(), style=STYLES[told.health])
    if told.reason != told.health.words:
        verdict.append(f": {printable(told.reason)}", style="default")
    lines = [verdict, Text(f"{_quarantine(found.quarantined)}; {_verified(found, now=now)}")]
    lines += [Text(f"not everything is known: {printable(one)}") for one in found.silent]
    return lines


def _quarantine(count: int | None) -> str:
    if count is None:
        return "documents in quarantine: unknown"
    if count == 0:
        return "no document is in quarantine"
    return f"{several(count, 'document')} in quarantine"


def _verified(found: Status, *, now: datetime) -> str:
    if found.verified_at is None:
        return "never verified"
    age = duration(max(0.0, (now - found.verified_at).total_seconds()))
    drift = "no drift" if not found.drift_found else f"DRIFT of {found.drift_found:,}"
    return f"verified {age} ago, {drift}"


def _table(lines: Sequence[_Line]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("keys", no_wrap=True)
    table.add_column("lease", overflow="crop", no_wrap=True, max_width=10)
    table.add_column("owner", overflow="crop", no_wrap=True, max_width=22)
    table.add_column("gap", justify="right", no_wrap=True)
    table.add_column("lag", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for line in lines:
        table.add_row(*_cells(line), style=None)
    return table


def _cells(line: _Line) -> Sequence[Text]:
    facts, health = line.judged.facts, line.judged.verdict.health
    gap = UNKNOWN if facts.gap_changes is None else f"{facts.gap_changes:,}"
    lag = UNKNOWN if facts.lag_seconds is None else duration(facts.lag_seconds)
    state = "nobody reads it" if facts.owner is None else _state(line)
    return (
        Text(UNKNOWN if facts.feed_range is None else share(facts.feed_range)),
        Text(NOTHING_KNOWN if facts.lease_token is None else printable(facts.lease_token)),
        Text("nobody" if facts.owner is None else printable(facts.owner)),
        Text(gap),
        Text(lag),
        Text(state, style=STYLES[health]),
    )


def _state(line: _Line) -> str:
    state = line.judged.facts.state
    return UNKNOWN if state is None else state.replace("_", " ")


def _reasons(lines: Sequence[_Line]) -> list[Text]:
    """Why the worst ranges are not current; what the heading says of all of them is not repeated."""
    told: dict[str, list[_Line]] = {}
    for line in lines:
        if line.judged.verdict.health is not Health.CURRENT:
            told.setdefault(_reason(line), []).append(line)
    if not told or (len(told) == 1 and _reason(lines[0]) == lines[0].judged.verdict.reason):
        return []
    shown_reasons = list(told.items())[:MOST_REASONS]
    return [Text("")] + [Text(f"{_names(of)}: {reason}") for reason, of in shown_reasons]


def _reason(line: _Line) -> str:
    verdict = line.judged.verdict
    failure = None if line.range is None else line.range.last_error
    if failure is None or verdict.health is Health.BEHIND:
        return printable(verdict.reason)
    return printable(f"{verdict.reason} ({failure.error_type}: {failure.message})")


def _names(lines: Sequence[_Line]) -> str:
    if len(lines) == 1:
        return _name(lines[0])
    tokens = [line.judged.facts.lease_token or "without a lease" for line in lines]
    more = f" and {len(tokens) - MOST_NAMES} more" if len(tokens) > MOST_NAMES else ""
    return printable(f"ranges {', '.join(tokens[:MOST_NAMES])}{more}")


def _name(line: _Line) -> str:
    facts = line.judged.facts
    keys = "unknown keys" if facts.feed_range is None else f"keys {share(facts.feed_range)}"
    if facts.lease_token is None:
        return f"{keys}, no range"
    return f"range {printable(facts.lease_token)} ({keys})"


def _facts(line: _Line) -> Sequence[tuple[str, object]]:
    verdict, facts, one = line.judged.verdict, line.judged.facts, line.range
    rows: list[tuple[str, object]] = [
        ("health", f"{verdict.health.words}: {verdict.reason}"),
        ("keys", facts.feed_range),
        ("owner", facts.owner or "nobody"),
    ]
    if one is None:
        return rows
    failure = one.last_error
    rows += [
        ("state", one.state),
        ("since", one.state_since),
        ("position", one.lsn if one.lsn is not None else one.continuation),
        ("position's time", one.position_time),
        ("gap in changes", one.gap_changes),
        ("lag in seconds", one.lag_seconds),
        ("last read", one.last_poll_at),
        ("last commit", one.last_commit_at),
        (
            "last error",
            "none"
            if failure is None
            else f"{failure.error_type} x{failure.count}: {failure.message}",
        ),
    ]
    return rows
