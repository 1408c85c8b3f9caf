"""How far a comparison is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as ProgressBar

from projector.cli.lines import say
from projector.core.pacing import Pace
from projector.core.texts import duration
from projector.processor.clock import SystemClock
from projector.reconcile.report import Progress

LINE_SECONDS = 5.0


@contextmanager
def shown_progress() -> Iterator[Callable[[Progress], object]]:
    """A bar on a terminal, a line every few seconds elsewhere; always on standard error."""
    if not sys.stderr.isatty():
        yield _Lines().show
        return
    columns = (
        TextColumn("{task.completed:,} of about {task.total:,} documents"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[pace]}"),
    )
    lines = _Lines()
    with ProgressBar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verify", total=0, pace="")
        yield lambda progress: bar.update(
            task,
            completed=progress.documents,
            total=max(progress.expected, progress.documents),
            pace=lines.pace_at(progress),
        )


class _Lines:
    """Says how far it is, now and then."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._said = self._clock.monotonic()
        self._pace = Pace()

    def show(self, progress: Progress) -> None:
        """Say it when the last line is some seconds old."""
        pace = self.pace_at(progress)
        now = self._clock.monotonic()
        if now - self._said >= LINE_SECONDS:
            self._said = now
            expected = max(progress.expected, progress.documents)
            say(f"verified {progress.documents:,} of about {expected:,} documents, {pace}")

    def pace_at(self, progress: Progress) -> str:
        """How fast it goes and what is left, in words."""
        self._pace.look(self._clock.monotonic(), progress.documents)
        left = self._pace.seconds_left(max(0, progress.expected - progress.documents))
        words = "" if left is None else f", {duration(left)} left"
        return f"{self._pace.per_second or 0:,.0f} a second{words}"
