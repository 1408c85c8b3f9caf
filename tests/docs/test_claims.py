"""What the front page claims is held by a test, which the page about correctness names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/correctness.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
ROWS = re.findall(r"^\| (.+) \| `([\w/]+\.py)` `(test_\w+)` \|$", PAGE, flags=re.MULTILINE)


def plain(text: str) -> str:
    return " ".join(text.replace("**", "").split())


def section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_claim_stands_on_the_front_page_in_these_words() -> None:
    assert [claim for claim, *_ in ROWS if claim not in plain(README)] == []


def test_every_claim_names_a_test_that_exists() -> None:
    missing = [
        f"{path}: {name}"
        for _, path, name in ROWS
        if f"def {name}(" not in (ROOT / "tests" / path).read_text("utf-8")
    ]
    assert missing == []


def test_every_guarantee_step_and_command_of_the_front_page_has_its_row() -> None:
    claims = {claim for claim, *_ in ROWS}
    promised = re.findall(r"\*\*(.+?)\*\*", section("What it guarantees") + section("How it works"))
    commands = re.findall(r"\| (`projector .+?`) \|$", section("Operate it"), flags=re.MULTILINE)
    assert len(promised) > 9
    assert len(commands) > 5
    assert {*promised, *commands} - claims == set()
