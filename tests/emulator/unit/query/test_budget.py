"""What a query may cost: counted, so that it is the same on every machine."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cosmos_emulator.query import PAUSE_STEPS, Budget, QueryError, compile_query, spend
from cosmos_emulator.query.regexes import found
from tests.emulator.unit.query.test_properties import EXAMPLES

WIDE: list[dict[str, Any]] = [
    {"id": "1", "l": list(range(300)), "t": "ab" * 500, "u": "ab" * 25_000}
]
TRIPLE = "SELECT VALUE COUNT(1) FROM c JOIN a IN c.l JOIN b IN c.l JOIN d IN c.l"
DOUBLING = "SELECT VALUE x9 FROM c JOIN (SELECT VALUE [c, c]) x0 " + " ".join(
    f"JOIN (SELECT VALUE [x{n}, x{n}]) x{n + 1}" for n in range(40)
)


def cost(query: str, documents: list[dict[str, Any]], *, most: int = 200_000) -> list[int]:
    """The steps at each pause, the last at the end; fails when the budget does."""
    pauses: list[int] = []
    budget = Budget(most, lambda: pauses.append(budget.spent))
    with budget.in_force():
        compile_query(query).run(documents)
    return [*pauses, budget.spent]


@pytest.mark.parametrize(
    "query",
    [
        TRIPLE,
        DOUBLING,
        "SELECT VALUE 1 FROM c WHERE EXISTS(SELECT VALUE 1 FROM a IN c.l JOIN b IN c.l JOIN d IN c.l WHERE a < 0)",
        "SELECT VALUE ARRAY(SELECT VALUE [a, b, c.l] FROM a IN c.l JOIN b IN c.l) FROM c",
        "SELECT VALUE [" + ",".join(["c.l"] * 6000) + "] FROM c",
        "SELECT VALUE REPLACE(REPLACE(REPLACE(c.t, 'a', c.t), 'a', c.t), 'a', c.t) FROM c",
        "SELECT VALUE {" + ",".join(f"a{n}: REPLICATE(c.t, 10)" for n in range(4000)) + "} FROM c",
        "SELECT VALUE CONCAT(" + ",".join(["c.u"] * 99) + ") FROM c",
        "SELECT VALUE c.t LIKE '" + "%a" * 12_000 + "' FROM c",
        "SELECT VALUE REGEXMATCH(c.t, '(a|b|ab)*(b|a|ba)*(ab|a|b)*x') FROM c JOIN a IN c.l JOIN b IN c.l",
        "SELECT " + "x" * 600_000,
    ],
)
def test_a_query_that_runs_on_is_refused_in_one_line(query: str) -> None:
    with pytest.raises(QueryError) as refusal:
        cost(query, WIDE)
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM c ORDER BY c.n DESC, c.id",
        "SELECT c.g, COUNT(1) AS n FROM c GROUP BY c.g",
        "SELECT DISTINCT VALUE c.n FROM c",
        "SELECT VALUE c.id FROM c WHERE c.id IN (" + ",".join(f"c.x{n}" for n in range(200)) + ")",
        "SELECT VALUE 1 FROM c WHERE "
        + " OR ".join(f"c.id = '{n}' AND c.n = 1" for n in range(40)),
        "SELECT VALUE ARRAY(SELECT VALUE [t, t] FROM t IN c.tags WHERE t > 1) FROM c",
    ],
)
def test_a_query_pauses_at_the_same_steps_every_time(query: str) -> None:
    documents = [{"id": str(n), "n": -n % 77, "g": n % 5, "tags": [1, 2, n]} for n in range(3000)]
    pauses = cost(query, documents)
    assert pauses == cost(query, documents)
    assert len(pauses) > 10
    steps = [after - before for before, after in zip([0, *pauses], pauses, strict=False)]
    assert max(steps) < 2 * PAUSE_STEPS


def test_sorting_in_parts_is_sorting() -> None:
    documents = [{"id": n, "a": n * 7919 % 13, "b": n % 3} for n in range(2500)]
    query = "SELECT VALUE c.id FROM c ORDER BY c.a DESC, c.b"
    expected = sorted(documents, key=lambda each: (-each["a"], each["b"], -each["id"]))
    assert compile_query(query).run(documents) == [each["id"] for each in expected]


def test_without_a_budget_nothing_is_counted() -> None:
    spend(10**12)
    assert compile_query("SELECT VALUE COUNT(1) FROM c JOIN a IN c.l JOIN b IN c.l").run(WIDE) == [
        90_000
    ]


ATOMS = [
    "a",
    "b",
    "A",
    "é",
    r"\d",
    r"\w",
    ".",
    "[a-c]",
    "[^ab]",
    r"\b",
    r"\B",
    "^",
    "$",
    r"\A",
    r"\Z",
]
patterns = st.recursive(
    st.sampled_from([*ATOMS, "\n", " "]),
    lambda inner: (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map("(%s|%s)".__mod__)
        | inner.map("(?i:%s)".__mod__)
        | st.tuples(inner, st.sampled_from(["*", "+?", "{2}", "{1,3}", "{2,}"])).map("(?:%s)%s".__mod__)
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=EXAMPLES)
@given(text=st.text("abAcé1 _\n", max_size=8), pattern=patterns, modifiers=st.sampled_from(["", "m", "si"]))  # fmt: skip
@example(text="x" * 40, pattern="^(x?){3}x*$", modifiers="")
def test_patterns_match_as_in_python(text: str, pattern: str, modifiers: str) -> None:
    assume(text or r"\B" not in pattern)  # where Python's older releases differ from all others
    flags = sum({"m": re.MULTILINE, "s": re.DOTALL, "i": re.IGNORECASE}[each] for each in modifiers)
    assert found(text, pattern, modifiers) == (re.search(pattern, text, flags) is not None)


def test_no_pattern_tries_anything_twice() -> None:
    budget = Budget(20_000)
    with budget.in_force():
        assert not found("x" * 5_000, "^(x+x+)+y$", "")
        assert not found("a" * 5_000, ".*.*.*.*=.*", "")
        assert found("a" * 5_000 + "b", "(a|aa|aaa)*b", "")


def test_a_set_within_a_set_is_no_warning() -> None:
    assert found("[", "[[a]", "")


@pytest.mark.parametrize(
    "pattern",
    ["(?=a)", "(?<!a)b", r"(a)\1", "(?>a)", "a++", "(?-i:a)", "(", "a{1000}{1000}", "a" * 5000],
)
def test_a_pattern_that_cannot_be_followed_is_refused(pattern: str) -> None:
    with pytest.raises(QueryError, match="REGEXMATCH"):
        found("a", pattern, "i")
