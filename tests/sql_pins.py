"""The statements that a definition makes, by name, as they are for carts.

`tests/sql/NAME.sql` holds each one, with its purpose and expected plan above it; a test compares. A change
of the product shows there as a change of SQL: `python -m tests.sql_pins` writes the statements anew and
keeps what is above them. Tables, triggers and views are frozen in `migrations/baseline` in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

from projector.postgres import (
    comparison,
    copying,
    explain,
    housekeeping,
    quarantine,
    statements,
    sweep,
    verification,
)
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.statements import BatchShape

FOLDER = Path(__file__).parent / "sql"
CART_TOTALS, ITEM_TOTALS = FIRST_GENERATION.definition.totals
EMPTY_TOTALS = housekeeping.empty_totals(FIRST_GENERATION)


def _batch(
    *,
    returning_old: bool = True,
    heal: bool = False,
    locked: bool = False,
    verdict: bool = False,
) -> str:
    shape = BatchShape(
        generation=FIRST_GENERATION,
        returning_old=returning_old,
        heal=heal,
        locked=locked or verdict,
        verdict=verdict,
    )
    return statements.batch_statement(shape)


STATEMENTS: Mapping[str, str] = {
    "batch": _batch(),
    "batch_before_18": _batch(returning_old=False),
    "batch_of_verdicts": _batch(heal=True, verdict=True),
    "batch_beside_entries": _batch(heal=True, locked=True),
    "copy": copying.copy_statement(FIRST_GENERATION),
    "look": statements.look_statement(FIRST_GENERATION),
    "compare_rows": comparison.rows_statement(FIRST_GENERATION),
    "compare_unseen": comparison.collect_statement(FIRST_GENERATION),
    "sweep_unseen": sweep.collect_statement(FIRST_GENERATION),
    "quarantine_store": quarantine.store_statement(FIRST_GENERATION),
    "quarantine_mark": quarantine.mark_statement(FIRST_GENERATION),
    "count_cart_totals": verification.count_statement(FIRST_GENERATION, CART_TOTALS),
    "count_item_totals": verification.count_statement(FIRST_GENERATION, ITEM_TOTALS),
    "mend_cart_totals": verification.mend_statement(FIRST_GENERATION, CART_TOTALS),
    "mend_item_totals": verification.mend_statement(FIRST_GENERATION, ITEM_TOTALS),
    **dict(zip(("empty_cart_totals", "empty_item_totals"), EMPTY_TOTALS, strict=True)),
    "explain_rows": explain.rows_statement(FIRST_GENERATION),
}


def pinned(name: str) -> tuple[str, str]:
    """What stands above the statement, and the statement."""
    lines = (FOLDER / f"{name}.sql").read_text().splitlines()
    above = sum(1 for _ in takewhile(lambda line: line.startswith("--"), lines))
    return "\n".join(lines[:above]), "\n".join(lines[above:]).strip()


def write() -> None:
    """Write all statements anew, each under what stands above it."""
    for name, statement in STATEMENTS.items():
        above, _ = pinned(name)
        (FOLDER / f"{name}.sql").write_text(f"{above}\n{statement.strip()}\n")


if __name__ == "__main__":
    write()
