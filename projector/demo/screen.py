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
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from projector.ports.feed import RangeReport

TOLD_DEEDS = 8
UNKNOWN = "unknown"
SHOWN_DIGITS = 8


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

    def draw(self) -> RenderableType:
        """One frame."""
        layout = Layout()
        layout.split_column(
            Layout(self._heading(), name="heading", size=len(self.introduction) + 2),
            Layout(name="middle"),
            Layout(self._ranges(), name="ranges", size=len(self.snapshot.ranges) + 5),
        )
        layout["middle"].split_row(
            Layout(self._carts(), ratio=3), Layout(Group(self._items(), self._told()), ratio=2)
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
        return Panel(
            Text("\n".join(self.introduction), overflow="fold"),
            title="projector demo",
            title_align="left",
        )

    def _carts(self) -> RenderableType:
        table = Table(
            title="carts.cart_totals, last changed first", title_justify="left", expand=True
        )
        table.add_column("cart")
        for column in ("lines", "quantity", "amount"):
            table.add_column(column, justify="right")
        table.add_column("")
        for row in self.snapshot.carts:
            table.add_row(
                str(row["cart_id"]),
                _shown(row["line_count"]),
                _shown(row["total_quantity"]),
                _money(row["total_amount"]),
                str(row["currency"] or ""),
            )
        return table

    def _items(self) -> RenderableType:
        table = Table(title="carts.item_totals", title_justify="left", expand=True)
        table.add_column("item")
        table.add_column("lines", justify="right")
        table.add_column("quantity", justify="right")
        for row in self.snapshot.items:
            table.add_row(
                str(row["item"]), _shown(row["line_count"]), _shown(row["total_quantity"])
            )
        return table

    def _told(self) -> RenderableType:
        return Panel(
            Text("\n".join(self.deeds), overflow="ellipsis", no_wrap=True),
            title="shoppers",
            title_align="left",
        )

    def _ranges(self) -> RenderableType:
        title = f"ranges; documents in quarantine: {_shown(self.snapshot.quarantined)}"
        table = Table(title=title, title_justify="left", expand=True)
        for column in ("lease", "feed range", "owner", "position", "gap", "lag", "state"):
            table.add_column(column, overflow="ellipsis", no_wrap=True)
        for report in self.snapshot.ranges:
            lag = report.lag_seconds
            table.add_row(
                report.lease_token,
                f"{_bound(report.feed_range.min) or '00'} to {_bound(report.feed_range.max)}",
                report.owner,
                self.snapshot.positions.get(report.lease_token) or UNKNOWN,
                _shown(report.gap_changes),
                UNKNOWN if lag is None else f"{lag:.1f} s",
                report.state.value,
            )
        return table


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


def _bound(epk: str) -> str:
    """A bound of a range, cut: its first digits tell the ranges apart."""
    return f"{epk[:SHOWN_DIGITS]}..." if len(epk) > SHOWN_DIGITS else epk
