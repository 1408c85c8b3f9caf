"""What the demo shows: a live screen on a terminal, plain lines elsewhere.

Only drawing: it gets values and asks nobody. `Snapshot` is one look at SQL and at the ranges.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from projector.core.ranges import share
from projector.core.texts import printable
from projector.ports.feed import RangeReport

TOLD_DEEDS = 20
UNKNOWN = "unknown"
HEAD = 2
"""Lines of a table above its first row."""
LEAST_MIDDLE = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One look at the running whole.

    Attributes:
        carts: of `carts.cart_totals`: cart_id, line_count, total_quantity, total_amount, currency.
        items: of `carts.item_totals`: item, line_count, total_quantity.
        counts: cart_count, line_count, total_quantity over everything.
    """

    carts: Sequence[Mapping[str, object]] = ()
    items: Sequence[Mapping[str, object]] = ()
    counts: Mapping[str, object] = field(default_factory=dict)
    ranges: Sequence[RangeReport] = ()
    positions: Mapping[str, str | None] = field(default_factory=dict)
    quarantined: int | None = None


@dataclass(slots=True, kw_only=True)
class Screen:
    """Everything on the screen; `draw` makes one frame of it."""

    introduction: Sequence[str]
    deeds: deque[str] = field(default_factory=lambda: deque(maxlen=TOLD_DEEDS))
    snapshot: Snapshot = field(default_factory=Snapshot)

    def draw(self, *, width: int, height: int) -> RenderableType:
        """One frame that fits a terminal of this size, in columns and lines."""
        shown = self.snapshot.ranges[: max(1, height - len(self.introduction) - LEAST_MIDDLE)]
        heading, ranges = len(self.introduction) + 1, len(shown) + 2
        middle = max(LEAST_MIDDLE, height - heading - ranges)
        layout = Layout()
        layout.split_column(
            Layout(self._heading(), size=heading),
            Layout(name="middle", size=middle),
            Layout(self._ranges(shown), size=ranges),
        )
        items = self._items(middle // 2)
        layout["middle"].split_row(
            Layout(Padding(self._carts(middle), (0, 2, 0, 0)), size=width * 11 // 20 + 2),
            Layout(Group(items, "", self._told(middle - middle // 2 - 1))),
        )
        return layout

    def line(self) -> str:
        """One line for those without a terminal."""
        counts = self.snapshot.counts
        told = self.deeds[-1] if self.deeds else "nobody shops yet"
        lags = [report.lag_seconds for report in self.snapshot.ranges]
        lag = (
            UNKNOWN
            if None in lags or not lags
            else f"{max(lag for lag in lags if lag is not None):.1f}s"
        )
        return (
            f"carts={_shown(counts.get('cart_count'))} lines={_shown(counts.get('line_count'))}"
            f" quantity={_shown(counts.get('total_quantity'))} lag={lag}"
            f" quarantined={_shown(self.snapshot.quarantined)} | {told}"
        )

    def _heading(self) -> RenderableType:
        return Text("\n".join(self.introduction), overflow="crop", no_wrap=True)

    def _carts(self, height: int) -> RenderableType:
        table = _table("carts.cart_totals, last changed first")
        table.add_column("cart", overflow="crop", no_wrap=True)
        for column in ("lines", "qty", "amount"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for row in self.snapshot.carts[: height - HEAD]:
            table.add_row(
                _text(row["cart_id"]),
                _text(row["line_count"]),
                _text(row["total_quantity"]),
                _money(row["total_amount"]),
                _text(row["currency"] or ""),
            )
        return table

    def _items(self, height: int) -> RenderableType:
        table = _table("carts.item_totals")
        table.add_column("item", overflow="crop", no_wrap=True)
        table.add_column("lines", justify="right", no_wrap=True)
        table.add_column("qty", justify="right", no_wrap=True)
        for row in self.snapshot.items[: height - HEAD]:
            table.add_row(
                _text(row["item"]), _text(row["line_count"]), _text(row["total_quantity"])
            )
        return table

    def _told(self, height: int) -> RenderableType:
        table = _table("shoppers")
        table.show_header = False
        table.add_column("", overflow="crop", no_wrap=True)
        for deed in list(self.deeds)[-max(1, height - 1) :]:
            table.add_row(_text(deed))
        return table

    def _ranges(self, shown: Sequence[RangeReport]) -> RenderableType:
        quarantined = _shown(self.snapshot.quarantined)
        table = _table(f"ranges, and how far they are; documents in quarantine: {quarantined}")
        for column in ("range", "keys", "owner", "position", "gap", "lag", "state"):
            table.add_column(column, overflow="crop", no_wrap=True)
        for report in shown:
            lag = report.lag_seconds
            table.add_row(
                _text(report.lease_token),
                share(report.feed_range),
                _text(report.owner),
                _text(self.snapshot.positions.get(report.lease_token) or UNKNOWN),
                _text(report.gap_changes),
                UNKNOWN if lag is None else f"{lag:.1f} s",
                report.state.value,
            )
        return table


def _table(title: str) -> Table:
    """Without lines around and between: every line of a small terminal shows something."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
        expand=True,
    )


def _text(value: object) -> Text:
    return Text(printable(_shown(value)))


def _shown(value: object) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return str(value)


def _money(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, Decimal) else ""
