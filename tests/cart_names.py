"""Finds the files of the product that name what the definition of carts names already.

A name counts where it can only be meant: as a text of its own, as a word of an SQL text, as an
attribute, a keyword, a field of a class or a parameter; one that is no English word counts in every
text. Prose, messages and docstrings may speak of items and prices. `projector/demo` does what
customers and analysts of carts do, so it may use the names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from projector.projection.carts import CARTS
from projector.projection.definition import Definition

ROOT = Path(__file__).parent.parent
ALLOWED = ("projector/projection/carts.py", "projector/demo/")

SQL = re.compile(
    r"\b(SELECT|INSERT|UPDATE|DELETE|FROM|JOIN|WHERE|COPY|CREATE|VALUES|SET|GROUP BY)\b"
)
WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
NO_ENGLISH = re.compile(r"[a-z]+[_A-Z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a file names: columns of rows and fields of documents, and what belongs to totals."""

    columns: frozenset[str]
    totals: frozenset[str]


def column_names(definition: Definition = CARTS) -> frozenset[str]:
    """Names of the columns of rows, and of the fields behind them."""
    fields = (definition.key, *definition.fields)
    return frozenset(
        [each.column for each in fields]
        + [each.name for each in fields]
        + [each.column for each in definition.products]
        + [definition.rows]
    )


def total_names(definition: Definition = CARTS) -> frozenset[str]:
    """Names of totals, of their views, and of the columns that no row has."""
    found: set[str] = set()
    for total in definition.totals:
        found |= {total.name, total.row_count, *(each.column for each in total.sums)}
        if total.bucket is not None:
            found |= {total.bucket.view, total.bucket.row_count}
    return frozenset(found)


def names_in(tree: ast.Module) -> frozenset[str]:
    """All words of a module that may name a column; see above for what does not count."""
    docstrings = {id(text) for text in _docstrings(tree)}
    return frozenset(
        word for node in ast.walk(tree) if id(node) not in docstrings for word in _words(node)
    )


@cache
def offenders() -> Mapping[str, Named]:
    """File -> what it names, of all files of the product that should name nothing of it."""
    columns, totals = column_names(), total_names()
    found = {}
    for path in sorted(ROOT.glob("projector/**/*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(ALLOWED):
            continue
        words = names_in(ast.parse(path.read_text("utf-8"), filename=name))
        named = Named(columns=words & columns, totals=words & totals)
        if named.columns or named.totals:
            found[name] = named
    return found


def _words(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield from _words_of(text)
        case ast.JoinedStr(values=parts):
            texts = [part.value for part in parts if isinstance(part, ast.Constant)]
            yield from _words_of(" ".join(map(str, texts)))
        case ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
            yield name
        case ast.arg(arg=name) | ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case _:
            return


def _words_of(text: str) -> Iterator[str]:
    yield text
    is_sql = SQL.search(text) is not None
    yield from (word for word in WORD.findall(text) if is_sql or NO_ENGLISH.match(word))


def _docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    """Texts that stand alone: docstrings, and the ones below an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
