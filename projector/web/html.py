"""HTML made of values: whatever is not made here is text, and is shown as text.

A text that a stranger wrote cannot become markup, because only `tag` makes any; nor can it steer a
terminal or a reader's eye (`printable`), nor show a secret (`scrubbed`).

Tables are such that a screen reader walks through, and become cards where the screen is narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from projector.core.secrets import scrubbed
from projector.core.texts import printable

EMPTY = frozenset({"meta", "link", "input", "br"})


class Html(str):
    """Markup; everything else that is a `str` is text."""

    __slots__ = ()


def text(value: object) -> Html:
    """The value as text."""
    return Html(escape(printable(scrubbed(str(value)))))


def tag(name: str, /, *inside: object, **attributes: object) -> Html:
    """An element; what is inside and no `Html` is text, None is nothing.

    Attributes bear their names with `_` for `-` and one at the end cut off (`class_`); True has no
    value, None and False are left out.
    """
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in EMPTY:
        return Html(f"<{name}{told}>")
    return Html(f"<{name}{told}>{joined(*inside)}</{name}>")


def joined(*parts: object) -> Html:
    """Several parts, one behind the other."""
    return Html(
        "".join(one if isinstance(one, Html) else text(one) for one in parts if one is not None)
    )


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    return f' {name}="{text(value)}"'


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
