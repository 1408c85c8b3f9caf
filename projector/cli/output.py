"""What commands print: tables for people, plain lines for pipes, one JSON document for programs.

Standard output bears the answer, standard error everything else. Unknown is shown as `unknown`
to people and as null to programs, never as 0.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from rich.console import Console
from rich.table import Table

UNKNOWN = "unknown"


def print_json(document: object) -> None:
    """Prints one JSON document and a newline."""
    print(msgspec.json.encode(document).decode())


def say(line: str) -> None:
    """Tells the person at the terminal something that is not part of the answer."""
    print(line, file=sys.stderr, flush=True)


def shown(value: object) -> str:
    """A value as a person reads it."""
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value)


def table_of(
    rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, title: str | None = None
) -> Table:
    """The rows as a table for a terminal."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(shown(row[column]) for column in columns))
    return table


def print_table(
    rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, nothing: str
) -> None:
    """Prints rows as a table on a terminal and as `name=value` lines elsewhere."""
    if not rows:
        print(nothing)
        return
    if sys.stdout.isatty():
        Console().print(table_of(rows, columns))
        return
    for row in rows:
        print(" ".join(f"{column}={_plain(row[column])}" for column in columns))


def _plain(value: object) -> str:
    text = shown(value)
    return (
        text if text and " " not in text and '"' not in text else msgspec.json.encode(text).decode()
    )
