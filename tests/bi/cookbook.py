"""The cookbook as a program reads it: each question with what the server reads for it, and its SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "query.md"
QUESTION = re.compile(
    r"^### ([^\n]+)\n\n\*([^*.,]+)[.,]?\*.*?^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL
)
BY_INDEX = frozenset({"One cart", "One item", "The newest"})
READS = BY_INDEX | {"Everything", "Each of them", "Days", "Freshness"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of the page."""

    asks: str
    reads: str
    sql: str


def questions() -> list[Question]:
    """All questions, in the order of the page."""
    text = PAGE.read_text("utf-8")
    found = [Question(asks=a, reads=r, sql=s) for a, r, s in QUESTION.findall(text)]
    assert len(found) == text.count("\n### ") == text.count("```sql"), (
        "a question is not understood"
    )
    assert {each.reads for each in found} <= READS
    return found
