"""What the cookbook's questions have to be answered with, from the shop's lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
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
    "How fresh is what I see?": [
        ("true",),
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
"""Question -> rows; what is missing is a dash."""

BY_DAY = "On which days did the carts of the last week change last?"


def answers(now: int) -> Mapping[str, Rows]:
    """The same, with those that count back from `now`."""
    return {**KNOWN, BY_DAY: days_of_last_changes(now)}


def days_of_last_changes(now: int) -> Rows:
    """Days in Berlin on which carts changed last, in the last week."""
    youngest = {cart: min(line[0] for line in LINES if line[1] == cart) for _, cart, *_ in LINES}
    counted = Counter(
        datetime.fromtimestamp(now - age, ZoneInfo("Europe/Berlin")).date().isoformat()
        for age in youngest.values()
        if age < 7 * DAY
    )
    return [(day, str(carts)) for day, carts in sorted(counted.items())]
