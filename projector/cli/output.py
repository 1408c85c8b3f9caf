"""What commands print: tables for people, plain lines for pipes, one JSON document for programs.

Standard output bears the answer, standard error everything else. Unknown is shown as `unknown`
to people and as null to programs, never as 0.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from projector.cli.lines import answer
from projector.core.texts import moment, printable

UNKNOWN = "unknown"
BEYOND_ASCII = re.compile(r"[^\x20-\x7e]")
MAX_CELL = 2_000
"""Characters of one value in a table or line; `--json` has all of them."""


def print_json(document: object, *, tell: Callable[[str], None] = answer) -> None:
    """Prints one JSON document and a newline, in ASCII: the same on every terminal."""
    try:
        text = msgspec.json.encode(document).decode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON may hold and UTF-8 may not
        text = msgspec.json.encode(_encodable(msgspec.to_builtins(document))).decode()
    tell(BEYOND_ASCII.sub(_json_escape, text))


def shown(value: object) -> str:
    """A value as a person reads it."""
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, float):
        return f"{value:.1f}"
    return printable(str(value))


def table_of(
    rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, title: str | None = None
) -> Table:
    """The rows as a table for a terminal."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        # Text, not str: what looks like markup, an emoji's name or an address is none.
        table.add_row(*(Text(_cut(shown(row[column]))) for column in columns))
    return table


def print_table(
    rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, nothing: str
) -> None:
    """Prints rows as a table on a terminal and as `name=value` lines elsewhere."""
    if not rows:
        answer(nothing)
        return
    if sys.stdout.isatty():
        Console(highlight=False).print(table_of(rows, columns))
        return
    for row in rows:
        answer(" ".join(f"{column}={_plain(row[column])}" for column in columns))


def _plain(value: object) -> str:
    text = _cut(shown(value))
    if text and not set(text) & set(' "='):
        return text
    return '"{}"'.format(text.replace('"', '\\"'))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}... ({len(text)} characters)"


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _encodable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_encodable(name): _encodable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(each) for each in value]
    return value
