"""Counts the house: `make figures` prints what there is beside what was wanted, and the outliers.

Lines are lines of the file, as an editor numbers them, blank ones and comments included. The product
is `projector/`, without the emulator; tests are all of `tests/`, those of the emulator included, so
the share is taken of both packages.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from tests.cart_names import ROOT, offenders

WAY = ROOT / "docs/explanation/a-pages-way.md"
FRAME = re.compile(r"`(?P<file>[a-z_/]+\.py)`\D*?`(?P<name>[A-Za-z_][\w.]*)(?:\(\))?`")
LEAST_LINES = 40
MOST_COMMENTS = 6.0
SHOWN = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One file of Python."""

    name: str
    lines: int
    comments: int
    functions: Sequence[tuple[int, str]]

    @property
    def density(self) -> float:
        """Comments per 100 lines."""
        return 100 * self.comments / max(1, self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table."""

    measure: str
    now: str
    goal: str


def module(path: Path) -> Module:
    """Read one file."""
    text = path.read_text("utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return Module(
        name=path.relative_to(ROOT).as_posix(),
        lines=len(text.splitlines()),
        comments=sum(each.type == tokenize.COMMENT for each in tokens),
        functions=[
            ((node.end_lineno or node.lineno) - node.lineno + 1, node.name)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ],
    )


def modules(folder: str) -> Sequence[Module]:
    """All files of Python below a folder of the repository."""
    return [module(path) for path in sorted(ROOT.glob(f"{folder}/**/*.py"))]


def lines_of(folder: str) -> int:
    """Lines of all files of Python below a folder."""
    return sum(len(path.read_text("utf-8").splitlines()) for path in ROOT.glob(f"{folder}/**/*.py"))


def frames(way: Path = WAY) -> Sequence[tuple[str, str]]:
    """File and function of each step of a page, as the page about it says; empty without that."""
    if not way.exists():
        return ()
    return [(one["file"], one["name"]) for one in FRAME.finditer(way.read_text("utf-8"))]


def table(product: Sequence[Module]) -> Iterator[Figure]:
    """The measures, one by one."""
    lines = sum(one.lines for one in product)
    named = offenders().values()
    lengths = [length for one in product for length, _ in one.functions]
    ninth = quantiles(lengths, n=10)[8]
    way = frames()
    shared, tested = lines_of("cosmos_emulator"), lines_of("tests")
    yield Figure(measure="product lines without emulator", now=f"{lines:,}", goal="see ADR 0010")
    yield Figure(
        measure="lines per product module", now=f"{lines / len(product):.0f}", goal=">= 148"
    )
    yield Figure(
        measure="files to touch for a new column / total",
        now=f"{1 + sum(bool(one.columns) for one in named)} /"
        f" {1 + sum(bool(one.totals) for one in named)}",
        goal="1 / 1",
    )
    yield Figure(
        measure="frames, files of a page's way",
        now=f"{len(way)}, {len({file for file, _ in way})}" if way else "unknown",
        goal="<= 25, <= 12",
    )
    yield Figure(
        measure="test lines per product line",
        now=f"{tested / (lines + shared):.2f}",
        goal="<= 1.0",
    )
    yield Figure(
        measure="function median / p90 / max",
        now=f"{median(lengths):g} / {ninth:g} / {max(lengths)}",
        goal="6 / 17 / 50",
    )


def outliers(product: Sequence[Module]) -> Iterator[tuple[str, Sequence[str]]]:
    """What there is too much of, the worst first."""
    entries = ("__init__.py", "__main__.py")
    small = sorted(
        (one.lines, one.name)
        for one in product
        if one.lines < LEAST_LINES and not one.name.endswith(entries)
    )
    yield f"modules of fewer than {LEAST_LINES} lines", [f"{n:4} {name}" for n, name in small]
    dense = sorted(((one.density, one.name) for one in product), reverse=True)
    yield (
        f"more than {MOST_COMMENTS:g} comments per 100 lines",
        [f"{n:4.1f} {name}" for n, name in dense if n > MOST_COMMENTS],
    )
    long = sorted(
        ((n, f"{one.name}: {name}") for one in product for n, name in one.functions),
        reverse=True,
    )
    yield "the longest functions", [f"{n:4} {name}" for n, name in long[:SHOWN]]
    longest = sorted(((one.lines, one.name) for one in product), reverse=True)
    yield "the longest modules", [f"{n:4} {name}" for n, name in longest[:SHOWN]]
    yield (
        "files that name what the definition names",
        [
            f"{name}: {', '.join(sorted(said.columns | said.totals))}"
            for name, said in offenders().items()
        ],
    )


def report() -> Iterator[str]:
    """The table, and below it the outliers."""
    product = modules("projector")
    rows = [Figure(measure="measure", now="now", goal="goal"), *table(product)]
    for row in rows:
        yield f"{row.measure:42} {row.now:>14}   {row.goal}"
    for title, found in outliers(product):
        yield ""
        yield f"{title}: {len(found)}"
        yield from (f"  {line}" for line in found)


if __name__ == "__main__":
    for line in report():
        print(line)  # noqa: T201 - this is what it is for
