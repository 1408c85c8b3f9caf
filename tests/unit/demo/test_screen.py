from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
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


def drawn(screen: Screen, *, width: int = 120, height: int = 40) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, color_system=None)
    console.print(screen.draw(width=width, height=height))
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
        "0-50%",
        "1.2 s",
    ):
        assert expected in text
    assert "cart-007 adds 2 x Arc Mouse" in text
    assert "quarantine: 1" in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (132, 50)])
def test_all_of_it_fits_an_ordinary_terminal(width: int, height: int) -> None:
    told = [f"line {number} of the introduction" for number in range(5)]
    shown = replace(snapshot(lag=1.25), ranges=[report(str(token), lag=1.0) for token in range(4)])
    screen = Screen(introduction=told, snapshot=shown)
    screen.deeds.extend(f"deed {number}" for number in range(20))

    text = drawn(screen, width=width, height=height)

    lines = text.splitlines()
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    for expected in [*told, "cart-008", "Arc Mouse", "deed 19", "quarantine: 1"]:
        assert expected in text
    assert text.count("reading") == 4


def test_a_strangers_text_stays_a_text() -> None:
    row = {"item": "[/x]\x1b[2J", "line_count": 1, "total_quantity": Decimal(1)}
    text = drawn(Screen(introduction=[], snapshot=replace(snapshot(lag=0.0), items=[row])))
    assert "[/x]\\x1b[2J" in text


def test_an_empty_screen_can_be_drawn() -> None:
    assert "shoppers" in drawn(Screen(introduction=["x"]))


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
