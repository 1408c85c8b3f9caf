"""Plots of the last hour as SVG, drawn here: they need no script, and say aloud what they show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from projector.core.texts import duration
from projector.ports.console import Board, Sample
from projector.web import words
from projector.web.html import Html, joined, tag

WIDTH, HEIGHT = 600, 130
TOP, BOTTOM = 10, 20
MINUTES = 60
BAR_SHARE = 0.72
LEAST_LAG = 1.0
LEAST_RATE = 1.0


def plots(board: Board) -> Html:
    """Lag and throughput of the last hour."""
    if board.stored is None:
        return tag("p", "Unknown: PostgreSQL has not told it yet.", class_="nothing")
    samples, now = board.stored.samples, board.stored.read_at
    lags = [one.lag_seconds for one in samples if one.lag_seconds is not None]
    rates = [one.documents / MINUTES for one in samples]
    return joined(
        _plot(
            "Lag",
            f"at most {duration(max(lags))}" if lags else "not known yet",
            _bars(samples, now, lambda one: one.lag_seconds, max([LEAST_LAG, *lags])),
            "lag",
        ),
        _plot(
            "Throughput",
            f"at most {max(rates):,.1f} documents/s" if rates else "not known yet",
            _bars(samples, now, lambda one: one.documents / MINUTES, max([LEAST_RATE, *rates])),
            "rate",
        ),
    )


def _plot(name: str, most: str, bars: Html, kind: str) -> Html:
    base = HEIGHT - BOTTOM
    told = f"{name} of the last hour by the minute: {most}"
    axis = tag("line", x1=0, x2=WIDTH, y1=base, y2=base, class_="axis")
    marks = [
        tag("text", text, x=x, y=HEIGHT - 5, text_anchor=anchor)
        for text, x, anchor in (
            ("1 h ago", 0, "start"),
            ("30 min ago", WIDTH / 2, "middle"),
            ("now", WIDTH, "end"),
        )
    ]
    svg = tag(
        "svg",
        tag("title", told),
        axis,
        bars,
        *marks,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=told,
        class_=f"plot {kind}",
    )
    return tag("figure", tag("figcaption", tag("strong", name), " ", most), svg)


def _bars(
    samples: Sequence[Sample],
    now: datetime,
    value: Callable[[Sample], float | None],
    most: float,
) -> Html:
    """A bar for each minute; one that nobody told of stays empty, an unknown value has a mark."""
    this_minute = now.replace(second=0, microsecond=0)
    step, base = WIDTH / MINUTES, HEIGHT - BOTTOM
    bars = []
    for one in samples:
        ago = round((this_minute - one.minute) / timedelta(minutes=1))
        if not 0 <= ago < MINUTES:
            continue
        x = f"{WIDTH - (ago + 1) * step + step * (1 - BAR_SHARE) / 2:.1f}"
        known = value(one)
        height = 3.0 if known is None else max(1.0, known / most * (base - TOP))
        told = "unknown" if known is None else f"{known:,.1f}"
        bars.append(
            tag(
                "rect",
                tag("title", f"{words.clock(one.minute)}: {told}"),
                x=x,
                y=f"{base - height:.1f}",
                width=f"{step * BAR_SHARE:.1f}",
                height=f"{height:.1f}",
                rx=1.5,
                class_="bar unknown" if known is None or one.unknown else "bar",
            )
        )
    return joined(*bars)
