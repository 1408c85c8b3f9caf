from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Console

from projector.core.names import Epoch, InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.states import RangeState
from projector.demo.screen import Screen, Snapshot
from projector.ports.feed import RangeReport


def report(token: str, *, lag: float | None) -> RangeReport:
    return RangeReport(
        lease_token=LeaseToken(token),
        feed_range=FeedRange(min="", max="1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"),
        owner=InstanceName("demo-host"),
        state=RangeState.READING,
        state_since=datetime(2026, 1, 31, tzinfo=UTC),
        epoch=Epoch(1),
        gap_changes=None if lag is None else 0,
        lag_seconds=lag,
    )


def snapshot(*, lag: float | None) -> Snapshot:
    return Snapshot(
        carts=[
            {
                "cart_id": "cart-007",
                "line_count": 2,
                "total_quantity": Decimal("3.0"),
                "total_amount": Decimal("1234.5"),
                "currency": "EUR",
            },
            {
                "cart_id": "cart-008",
                "line_count": 1,
                "total_quantity": Decimal(1),
                "total_amount": None,
                "currency": None,
            },
        ],
        items=[{"item": "Arc Mouse", "line_count": 2, "total_quantity": Decimal(3)}],
        counts={"cart_count": 2, "line_count": 3, "total_quantity": Decimal(4)},
        ranges=[report("0", lag=0.0), report("1", lag=lag)],
        positions={LeaseToken("0"): "LSN 7"},
        quarantined=1,
    )


def drawn(screen: Screen) -> str:
    out = io.StringIO()
    Console(file=out, width=120, height=40, color_system=None).print(screen.draw())
    return out.getvalue()


def test_the_screen_shows_totals_ranges_and_what_shoppers_do() -> None:
    screen = Screen(
        introduction=["psql 'postgresql://u:p@127.0.0.1:1/x'"], snapshot=snapshot(lag=1.25)
    )
    screen.deeds.append("cart-007 adds 2 x Arc Mouse")
    text = drawn(screen)
    for expected in (
        "psql 'postgresql://",
        "cart-007",
        "1,234.50",
        "EUR",
        "Arc Mouse",
        "LSN 7",
        "1FFFFFFF...",
        "1.2 s",
    ):
        assert expected in text
    assert "cart-007 adds 2 x Arc Mouse" in text
    assert "quarantine: 1" in text


def test_an_empty_screen_can_be_drawn() -> None:
    assert "projector demo" in drawn(Screen(introduction=["x"]))


def test_the_line_says_unknown_while_one_range_is_unknown() -> None:
    screen = Screen(introduction=())
    assert (
        screen.line()
        == "carts=unknown lines=unknown quantity=unknown lag=unknown quarantined=unknown | nobody shops yet"
    )
    screen.snapshot = snapshot(lag=None)
    assert "lag=unknown" in screen.line()
    screen.snapshot = snapshot(lag=2.0)
    assert screen.line().startswith("carts=2 lines=3 quantity=4 lag=2.0s quarantined=1")
