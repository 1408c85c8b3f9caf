"""Tables that a screen reader walks through, and that become cards where the screen is narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from projector.web.html import Html, joined, tag


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; numbers stand to the right, and what is long has a line of its own on a card."""

    name: str
    number: bool = False
    long: bool = False

    @property
    def kind(self) -> str | None:
        """The class of its cells."""
        kinds = [name for name, of_it in (("number", self.number), ("long", self.long)) if of_it]
        return " ".join(kinds) or None


def table(
    caption: str, columns: Sequence[Column], rows: Sequence[Sequence[object]], *, nothing: str
) -> Html:
    """The rows, the first cell of each being its heading; without any, one line says so.

    The roles are those that the elements have anyway: cards, which are no table to a browser, keep them.
    """
    if not rows:
        return tag("p", nothing, class_="nothing")
    heads = [
        tag("th", one.name, scope="col", role="columnheader", class_=one.kind) for one in columns
    ]
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *heads, role="row"), role="rowgroup"),
        tag("tbody", *(_row(columns, row) for row in rows), role="rowgroup"),
        role="table",
    )


def _row(columns: Sequence[Column], row: Sequence[object]) -> Html:
    cells = [
        tag(
            "td" if at else "th",
            cell,
            scope=None if at else "row",
            role="cell" if at else "rowheader",
            class_=column.kind,
            data_label=column.name,
        )
        for at, (column, cell) in enumerate(zip(columns, row, strict=True))
    ]
    return tag("tr", joined(*cells), role="row")
