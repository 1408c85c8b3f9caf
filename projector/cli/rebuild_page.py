"""How far a rebuild is: a page of 80 columns that is drawn over on a terminal, a plain line elsewhere.

An estimate is written with `about`; what is not known is said to be so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from projector.cli.lines import say
from projector.cli.output import UNKNOWN
from projector.core.ranges import share as share_of_keys
from projector.core.texts import duration, printable
from projector.operations.generations import TO_PROMOTE
from projector.operations.rebuild_progress import Phase, Progress, RangeProgress
from projector.processor.clock import SystemClock

BAR_COLUMNS = 40
BESIDE_ROWS = 9
"""Lines of the page beside the ranges."""

STYLES = {
    Phase.WAITING: "dim",
    Phase.LOADING: "yellow",
    Phase.LOADED: "green",
    Phase.FINISHING: "yellow",
    Phase.SWEEPING: "yellow",
    Phase.FOLLOWING: "green",
}


def line(progress: Progress) -> str:
    """The whole in one line, for those without a terminal."""
    share = percent(progress.share, estimate=progress.estimate)
    told = [f"generation {progress.record.id}: {progress.phase}", share, *_figures(progress)]
    told += _waits(progress)
    return ", ".join(told)


def page(progress: Progress, *, height: int | None = None) -> RenderableType:
    """The page; with `height` cut to so many lines, what is done left out first."""
    rows = list(progress.ranges)
    fitting = len(rows) if height is None else max(1, height - BESIDE_ROWS)
    shown = _unfinished_first(rows)[:fitting] if len(rows) > fitting else rows
    parts: list[RenderableType] = [_heading(progress), _bar(progress)]
    parts += [_cut(Text(one)) for one in _figures(progress)]
    parts += [_cut(Text(one)) for one in _waits(progress)]
    if shown:
        parts += ["", _table(shown)]
    if len(rows) > len(shown):
        parts.append(Text(f"and {len(rows) - len(shown)} more", style="dim"))
    return Group(*parts)


def percent(share: float | None, *, estimate: bool) -> str:
    """A share in words: `about` where it is an estimate."""
    if share is None:
        return UNKNOWN
    return f"about {share:.0%}" if estimate else f"{share:.0%}"


def _heading(progress: Progress) -> Text:
    text = Text(f"GENERATION {progress.record.id} ", style="bold")
    text.append(str(progress.phase), style=STYLES[progress.phase])
    if progress.record.who:
        text.append(f"  begun by {printable(progress.record.who)}", style="dim")
    return _cut(text)


def _bar(progress: Progress) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=BAR_COLUMNS)
    grid.add_column(no_wrap=True)
    bar = ProgressBar(total=1.0, completed=progress.share or 0.0, width=BAR_COLUMNS)
    grid.add_row(bar, Text(percent(progress.share, estimate=progress.estimate)))
    return grid


def _figures(progress: Progress) -> Sequence[str]:
    """Documents with pace and time left; then what it costs."""
    done = []
    if progress.documents is not None:
        done.append(_documents(progress.documents, progress.expected))
    if progress.per_second is not None and progress.phase is not Phase.FOLLOWING:
        done.append(f"{progress.per_second:,.0f} a second")
    if progress.seconds_left is not None and progress.phase is not Phase.FOLLOWING:
        done.append(f"about {duration(progress.seconds_left)} left")
    told = [", ".join(done)] if done else []
    if progress.request_units is not None:
        told.append(_request_units(progress.request_units, progress.request_units_forecast))
    return told


def _waits(progress: Progress) -> Sequence[str]:
    """What keeps it from being promoted; when nothing does, how that is done."""
    if not progress.waits_for:
        return [f"caught up; compare it and make it live: {TO_PROMOTE}"]
    return [f"waits: {printable(progress.waits_for[0])}"]


def _documents(documents: int, expected: int | None) -> str:
    if expected is None:
        return f"{documents:,} documents"
    return f"{documents:,} of about {expected:,} documents"


def _request_units(spent: float, forecast: float | None) -> str:
    if forecast is None or forecast <= spent:
        return f"{spent:,.0f} request units"
    return f"{spent:,.0f} of about {forecast:,.0f} request units"


def _table(rows: Sequence[RangeProgress]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("keys", no_wrap=True)
    table.add_column("phase", no_wrap=True)
    table.add_column("documents", justify="right", no_wrap=True)
    table.add_column("a second", justify="right", no_wrap=True)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("lag", justify="right", no_wrap=True)
    table.add_column("owner", no_wrap=True, overflow="crop", max_width=18)
    for one in rows:
        table.add_row(*_cells(one))
    return table


def _cells(one: RangeProgress) -> Sequence[Text]:
    done = UNKNOWN if one.share is None else f"{'~' if one.estimate else ''}{one.share:.0%}"
    return (
        Text(UNKNOWN if one.feed_range is None else share_of_keys(one.feed_range)),
        Text(str(one.phase), style=STYLES[one.phase]),
        Text("-" if one.documents is None else f"{one.documents:,}"),
        Text("-" if one.per_second is None else f"{one.per_second:,.0f}"),
        Text(done),
        Text("-" if one.lag_seconds is None else duration(one.lag_seconds)),
        Text("nobody" if one.owner is None else printable(one.owner)),
    )


def _unfinished_first(rows: Sequence[RangeProgress]) -> Sequence[RangeProgress]:
    return sorted(rows, key=lambda one: one.share == 1.0)


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


LINE_SECONDS = 5.0


def to_stderr() -> Console:
    """Where the page goes when standard output bears an answer."""
    return Console(stderr=True, highlight=False)


@contextmanager
def shown(
    console: Console, *, each: float = LINE_SECONDS, put: Callable[[str], object] = say
) -> Iterator[Callable[[Progress], object]]:
    """A page that is drawn over on a terminal; elsewhere a line now and then, and when a phase is new."""
    drawing = console.is_terminal and not console.is_dumb_terminal
    lines = _Lines(each=each, put=put)
    with (
        Live(console=console, auto_refresh=False, transient=True) if drawing else nullcontext()
    ) as live:
        if live is None:
            yield lines.show
        else:
            yield lambda progress: live.update(page(progress, height=console.height), refresh=True)


class Waits:
    """Says for what a command waits, once for each reason."""

    def __init__(self) -> None:
        """Nothing was waited for yet."""
        self._said: set[str] = set()

    def tell(self, reason: str) -> None:
        """Say it unless it was said."""
        if reason not in self._said:
            self._said.add(reason)
            say(f"waits: {reason}")


class _Lines:
    """Says how far it is, now and then."""

    def __init__(self, *, each: float, put: Callable[[str], object]) -> None:
        self._each = each
        self._put = put
        self._clock = SystemClock()
        self._said_at: float | None = None
        self._phase: object = None

    def show(self, progress: Progress) -> None:
        """Say it when the last line is some seconds old, or another phase has begun."""
        now = self._clock.monotonic()
        new = progress.phase is not self._phase
        if self._said_at is None or new or now - self._said_at >= self._each:
            self._said_at, self._phase = now, progress.phase
            self._put(line(progress))
