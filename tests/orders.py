"""A second projection, which only the tests know: orders of customers.

Other names everywhere, one more number, a time and a boolean, and totals by a text, by the day and by the
key. Whatever knows the shape of carts by heart fails on it.
"""

from __future__ import annotations

from projector.postgres.generation import Generation
from projector.projection.definition import (
    Definition,
    Field,
    Group,
    History,
    Kind,
    Product,
    Sum,
    Total,
)
from projector.projection.project import Projection

COUNT = "Number of orders."

ORDERS = Definition(
    name="orders",
    container="order",
    schema="orders",
    rows="orders",
    rows_comment="One row per order.",
    noun="customer",
    row_noun="order",
    key=Field(name="customerId", column="customer_id", kind=Kind.TEXT, comment="Who ordered."),
    id_comment="The order's number, unique for the customer.",
    fields=(
        Field(name="status", column="status", kind=Kind.TEXT, comment="How far it is."),
        Field(name="units", column="units", kind=Kind.NUMBER, comment="Pieces."),
        Field(name="unitPrice", column="price", kind=Kind.NUMBER, comment="Of one piece."),
        Field(
            name="weightKg",
            column="weight",
            kind=Kind.NUMBER,
            optional=True,
            quoted=True,
            comment="Kilograms, when weighed.",
        ),
        Field(name="placedAt", column="placed_at", kind=Kind.TIME, comment="When it was placed."),
        Field(
            name="isPaid", column="paid", kind=Kind.BOOLEAN, optional=True, comment="Whether paid."
        ),
    ),
    products=(Product(column="value", factors=("units", "price"), comment="Units x price."),),
    totals=(
        Total(
            name="customer_totals",
            comment="One row per customer.",
            by=(Group(column="customer_id", of="customer_id", comment="Who ordered."),),
            row_count="order_count",
            row_count_comment=COUNT,
            sums=(
                Sum(column="value", of="value", comment="Value of the orders."),
                Sum(column="weight", of="weight", comment="Weight of what was weighed."),
            ),
            keeps_last_change=True,
            per_day="customers_per_day",
        ),
        Total(
            name="status_totals",
            comment="One row per status.",
            by=(Group(column="status", of="status", comment="How far they are."),),
            row_count="order_count",
            row_count_comment=COUNT,
            sums=(Sum(column="units", of="units", comment="Pieces."),),
            per_day="statuses_per_day",
        ),
        Total(
            name="daily_totals",
            comment="One row per day (UTC).",
            by=(
                Group(column="day", of="placed_at", per_day=True, comment="When they were placed."),
            ),
            row_count="order_count",
            row_count_comment=COUNT,
            sums=(Sum(column="value", of="value", comment="Value of the orders."),),
        ),
    ),
    history=History(
        events="order_events",
        abandoned="idle_customers",
        touched="status",
        touched_as="last_status",
    ),
)

ORDER_PROJECTION = Projection(ORDERS)
FIRST_ORDERS = Generation(definition=ORDERS, schema="projector_orders_g1")
