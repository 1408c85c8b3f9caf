"""The cart projection: lines of carts, with totals per cart, currency and item."""

from __future__ import annotations

from projector.projection.definition import (
    Bucket,
    Definition,
    Field,
    Group,
    History,
    Kind,
    Product,
    Sum,
    Total,
)

CARTS = Definition(
    name="carts",
    container="cart",
    schema="carts",
    rows="cart_items",
    rows_comment="One row per live cart line: the newest version of a document that is good and not deleted.",
    noun="cart",
    row_noun="line",
    row_text=("{quantity}", " x {item}", " at {unit_price}", " {currency}"),
    key=Field(
        name="cartId",
        column="cart_id",
        kind=Kind.TEXT,
        comment="The cart (cartId of the document).",
    ),
    id_comment="The document's id, unique within the cart.",
    fields=(
        Field(name="item", column="item", kind=Kind.TEXT, comment="Name of the article."),
        Field(name="quantity", column="quantity", kind=Kind.NUMBER, comment="How many; exact."),
        Field(
            name="price",
            column="unit_price",
            kind=Kind.NUMBER,
            optional=True,
            quoted=True,
            comment="Price of one, exact; NULL when the document bears none.",
        ),
        Field(
            name="currency",
            column="currency",
            kind=Kind.CODE,
            optional=True,
            pattern="[A-Z]{3}",
            told="three capital letters",
            comment="Currency of the price, three capital letters; NULL when not told.",
        ),
    ),
    products=(
        Product(
            column="amount",
            factors=("quantity", "unit_price"),
            comment="quantity x unit_price, unrounded; NULL without a price.",
        ),
    ),
    totals=(
        Total(
            name="cart_totals",
            comment="One row per cart with at least one live line.",
            by=(Group(column="cart_id", of="cart_id", comment="The cart."),),
            row_count="line_count",
            row_count_comment="Number of live lines.",
            sums=(
                Sum(
                    column="total_quantity",
                    of="quantity",
                    comment="Sum of the quantities of the live lines.",
                ),
                Sum(
                    column="total_amount",
                    of="amount",
                    per_bucket=True,
                    comment="Sum of the amounts of the lines with a price; NULL when no line has a"
                    " price or currencies are mixed (see cart_amounts).",
                    bucket_comment="Sum of their amounts.",
                ),
            ),
            bucket=Bucket(
                by="currency",
                of="unit_price",
                view="cart_amounts",
                view_comment="One row per cart and currency with at least one live line that has a price.",
                column="currency",
                comment="The one currency of total_amount; NULL when none, not told or mixed.",
                column_comment="The currency; NULL for prices without one.",
                row_count="priced_line_count",
                row_count_comment="Number of live lines with a price in this currency.",
                per_day="daily_amounts",
            ),
            keeps_last_change=True,
            per_day="daily_totals",
        ),
        Total(
            name="item_totals",
            comment="One row per article with at least one live line.",
            by=(Group(column="item", of="item", comment="Name of the article."),),
            row_count="line_count",
            row_count_comment="Number of live lines.",
            sums=(Sum(column="total_quantity", of="quantity", comment="Sum of their quantities."),),
            per_day="daily_item_totals",
        ),
    ),
    history=History(
        events="cart_events", abandoned="abandoned_carts", touched="item", touched_as="last_item"
    ),
)
"""Lines of carts; `docs/reference/documents.md` and `tables.md` describe it."""
