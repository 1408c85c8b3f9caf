"""HTML made of values: whatever is not made here is text, and is shown as text.

A text that a stranger wrote cannot become markup, because only `tag` makes any; nor can it steer a
terminal or a reader's eye (`printable`), nor show a secret (`scrubbed`).
"""

from __future__ import annotations

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
