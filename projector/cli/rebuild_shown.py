"""A rebuild under way, shown: a page that is drawn over on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.live import Live

from projector.cli.lines import say
from projector.cli.rebuild_page import line, page
from projector.operations.rebuild_progress import Progress
from projector.processor.clock import SystemClock

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
    """Says for what the switch of the views waits, once for each reason."""

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
