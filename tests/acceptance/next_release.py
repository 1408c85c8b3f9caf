"""The program of a next release: `weight` is a column, and articles sum it up.

Run as `python -m tests.acceptance.next_release` it is the whole command line with that definition.
"""

from __future__ import annotations

from dataclasses import replace

from projector.projection import chosen
from projector.projection.carts import CARTS
from projector.projection.definition import Definition, Field, Kind, Sum

WEIGHT = Field(
    name="weight",
    column="weight",
    kind=Kind.NUMBER,
    optional=True,
    comment="Weight of one in grams; NULL when the document bears none.",
)


def next_release() -> Definition:
    """One column more, and one sum more in the totals of articles."""
    carts, items = CARTS.totals
    weights = Sum(column="total_weight", of="weight", comment="Sum of their weights.")
    return replace(
        CARTS,
        fields=(*CARTS.fields, WEIGHT),
        totals=(carts, replace(items, sums=(*items.sums, weights))),
    )


def main() -> None:
    """The console script of that release."""
    vars(chosen).update(DEFINITION=next_release())
    from projector.cli.app import main as program  # noqa: PLC0415 - of this release from the first import on

    program()


if __name__ == "__main__":
    main()
