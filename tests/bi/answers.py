"""What the cookbook's questions have to be answered with, from the shop's lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.bi.shop import DAY, LINES

Rows = Sequence[tuple[str, ...]]
KNOWN: Mapping[str, Rows] = {
    "What lies in this cart?": [
        ("1", "Surface Pro", "2", "999", "EUR", "1998"),
        ("2", "Surface Pen", "1", "99.99", "EUR", "99.99"),
    ],
    "What is it worth?": [
        ("2", "3", "2097.99", "EUR", "1:00:00"),
    ],
    "What is it worth in each currency?": [
        ("EUR", "1", "299.97"),
        ("USD", "1", "199"),
    ],
    "Which of these carts are still there?": [
        ("123", "true", "2"),
        ("456", "true", "2"),
        ("gone", "false", "-"),
    ],
    "What share of its value is each line?": [
        ("1", "Surface Pro", "EUR", "95.2"),
        ("2", "Surface Pen", "EUR", "4.8"),
    ],
    "What lay in it two days ago?": [
        ("1", "Surface Pro", "2", "1998", "EUR"),
        ("2", "Surface Pen", "1", "99.99", "EUR"),
        ("99", "Dock", "1", "199", "USD"),
    ],
    "What was it worth then?": [
        ("EUR", "3", "2216.99"),
        ("USD", "1", "199"),
    ],
    "What happened to it?": [
        ("8", "changed", "Surface Pro", "2", "1"),
        ("98", "removed_by_marker", "Keyboard", "1", "-"),
    ],
    "Which carts changed last?": [
        ("654", "3", "-", "-"),
        ("123", "2", "2097.99", "EUR"),
        ("987", "1", "50", "-"),
    ],
    "How many carts changed in the last quarter of an hour, and what are they worth?": [
        ("EUR", "1", "1088.99"),
        ("USD", "1", "199"),
    ],
    "On which days did the carts of the last week change last?": [],
    "How are the values of carts distributed?": [
        ("EUR", "5", "4485.96", "1088.99", "2097.99", "2097.99"),
        ("USD", "2", "398", "199", "199", "199"),
        ("-", "1", "50", "50", "50", "50"),
    ],
    "How many carts lie in each band of value?": [
        ("EUR", "below 100", "1"),
        ("EUR", "100 to 499", "1"),
        ("EUR", "1000 and more", "3"),
        ("USD", "100 to 499", "2"),
        ("-", "below 100", "1"),
    ],
    "Which carts are over a limit?": [
        ("123", "2097.99"),
        ("789", "1099"),
        ("654", "1088.99"),
    ],
    "How old are the carts?": [
        ("1: today", "2", "5"),
        ("2: this week", "2", "3"),
        ("3: this month", "2", "3"),
        ("4: older", "1", "1"),
    ],
    "How many lines have carts?": [
        ("1", "3"),
        ("2", "3"),
        ("3", "1"),
    ],
    "Which carts mix currencies?": [
        ("456", "['EUR', 'USD']"),
        ("654", "['EUR', 'USD']"),
    ],
    "Which carts were abandoned lately, and what are they worth?": [
        ("789", "1099", "EUR", "Surface Pro", "10"),
        ("987", "50", "-", "Gift card", "2"),
        ("111", "-99.99", "EUR", "Surface Pen", "20"),
    ],
    "Which abandoned carts are worth most?": [
        ("789", "1099", "Surface Pro", "10", "0"),
        ("111", "-99.99", "Surface Pen", "20", "0"),
    ],
    "What are all abandoned carts worth?": [
        ("EUR", "3", "1298.98"),
        ("USD", "1", "199"),
        ("-", "1", "50"),
    ],
    "How do carts develop from day to day?": [],
    "And from week to week?": [],
    "How much of this item lies in carts?": [
        ("4", "4"),
    ],
    "Which items lie in most carts?": [
        ("Surface Pen", "4", "4"),
        ("Dock", "3", "4"),
        ("Surface Pro", "3", "4"),
    ],
    "What revenue lies in carts, by item and currency?": [
        ("Surface Pro", "EUR", "4", "4096"),
        ("Surface Pen", "EUR", "4", "389.96"),
        ("Keyboard", "EUR", "0", "0"),
        ("Dock", "USD", "2", "398"),
        ("Gift card", "-", "1", "50"),
    ],
    "Which items are often together?": [
        ("Dock", "Surface Pen", "2"),
        ("Surface Pen", "Surface Pro", "2"),
    ],
    "Which items are offered at more than one price?": [
        ("Surface Pen", "EUR", "89.99", "99.99"),
        ("Surface Pro", "EUR", "999", "1099"),
    ],
    "Which items moved most in the last day?": [
        ("Keyboard", "-1", "1"),
        ("Surface Pro", "-1", "1"),
    ],
    "Which lines were removed in the last day, and why?": [
        ("654", "98", "Keyboard", "129", "EUR", "removed_by_marker"),
    ],
    "How did an item do from day to day?": [],
    "How fresh is what I see?": [
        ("true", "0", "-", "true"),
    ],
    "Which part of the carts is late?": [],
    "What share of the lines has no price?": [
        ("Dock", "3", "33.3"),
    ],
    "Which lines look wrong?": [
        ("111", "11", "Surface Pen", "quantity -1"),
        ("111", "12", "Keyboard", "quantity 0"),
        ("987", "10", "Gift card", "no currency"),
    ],
    "What else do the documents say?": [
        ("gift", "2"),
        ("color", "1"),
    ],
}
"""Question -> rows; what is missing is a dash, and what has to be counted back from now is empty."""


def answers(now: int) -> Mapping[str, Rows]:
    """All of them; `now` is what the shop counts back from."""
    days = [datetime.fromtimestamp(now, UTC).date() - timedelta(days=age) for age in (3, 2, 1)]
    counted_back = {
        "On which days did the carts of the last week change last?": days_of_last_changes(now),
        "How do carts develop from day to day?": told(days, ("7", "14"), ("7", "14"), ("7", "13")),
        "And from week to week?": weeks(days, (597, 597, 398)),
        "How did an item do from day to day?": told(days, ("4", "5"), ("4", "5"), ("3", "4")),
    }
    return {**KNOWN, **counted_back}


def told(days: Sequence[date], *figures: tuple[str, ...]) -> Rows:
    """One row per day, all of them known."""
    return [(str(day), "true", *each) for day, each in zip(days, figures, strict=True)]


def weeks(days: Sequence[date], values: Sequence[int]) -> Rows:
    """The highest value of each week's days, in dollars."""
    highest: dict[date, int] = {}
    for day, value in zip(days, values, strict=True):
        monday = day - timedelta(days=day.weekday())
        highest[monday] = max(value, highest.get(monday, 0))
    return [(str(monday), "USD", str(value)) for monday, value in sorted(highest.items())]


def days_of_last_changes(now: int) -> Rows:
    """Days in Berlin on which carts changed last, in the last week."""
    youngest = {cart: min(line[0] for line in LINES if line[1] == cart) for _, cart, *_ in LINES}
    counted = Counter(
        datetime.fromtimestamp(now - age, ZoneInfo("Europe/Berlin")).date().isoformat()
        for age in youngest.values()
        if age < 7 * DAY
    )
    return [(day, str(carts)) for day, carts in sorted(counted.items())]
