"""Query texts that nobody would write: sound ones damaged, and words of the language in any order.

`python -m tests.fuzz.queries --inputs 200000`. Whatever comes is answered or refused by name, within its
budget; what can be planned runs as rewritten too.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

from cosmos_emulator.query import Budget, QueryError, compile_query, distributed
from cosmos_emulator.query.lexer import KEYWORDS
from tests.fuzz.emulator import QUERIES
from tests.fuzz.inputs import damaged, main

MOST_STEPS = 300_000
RESUME = "{documentdb-formattableorderbyquery-filter}"
MORE = [
    *QUERIES,
    "SELECT VALUE {'r': REGEXMATCH(c.t, '^(x|y+)*[^z]{2,3}$', 'i'), 'l': c.t LIKE '%x!%' ESCAPE '!'} FROM c",
    "SELECT c.id, AVG(c.n) AS a, MIN(c.l[0]) FROM c WHERE c.id != '3' GROUP BY c.id OFFSET 1 LIMIT 9",
    "SELECT VALUE REPLACE(CONCAT(c.t, 'x'), 'x', c.t) FROM c JOIN (SELECT VALUE [l, l] FROM l IN c.l) p",
    "SELECT DISTINCT TOP 3 c.n, ARRAY_CONCAT(c.l, c.l) AS ll FROM c WHERE c.n >> 1 != 2 ? true : c.n ?? false",
    "SELECT VALUE x.a FROM x IN c.l WHERE IS_DEFINED(x.a) ORDER BY x.a DESC, x.b",
    "SELECT udf.f(c) FROM c WHERE c['or der'].\"x\" = -0x1F /* note */ -- end",
]
WORDS = [
    *sorted(KEYWORDS),
    *[
        "c",
        "c.a",
        "c.l",
        "c.t",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ",",
        ".",
        ":",
        "?",
        "??",
        "+",
        "-",
        "*",
        "/",
        "%",
        "=",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "||",
        "&",
        "|",
        "^",
        "~",
        "<<",
        ">>",
        ">>>",
    ],
    *[
        "1",
        "0",
        "-1",
        "1e308",
        "0xFF",
        "'x'",
        '"y"',
        "'%x_[a-z]'",
        "@p",
        "@q",
        "COUNT(",
        "SUM(",
        "AVG(",
        "MIN(",
        "REPLACE(",
        "REGEXMATCH(",
    ],
    *[
        "ARRAY_CONCAT(",
        "REPLICATE(",
        "STRINGTOOBJECT(",
        "SUBSTRING(",
        "ROUND(",
        "IIF(",
        "CHOOSE(",
        "nosuch(",
        "é",
        "\\",
    ],
    "SELECT VALUE",
    "FROM c",
    "JOIN x IN c.l",
    "GROUP BY c.a",
    "ORDER BY c.n",
    "OFFSET 1 LIMIT 2",
]
DOCUMENTS: list[dict[str, Any]] = [
    {"id": str(n), "n": n, "t": "xy" * n, "l": [1, "é", {"a": n, "b": [n]}, None]} for n in range(9)
]
PARAMETERS: list[dict[str, Any]] = [
    {"name": "@p", "value": 1},
    {"name": "@q", "value": {"a": ["x"]}},
]


def check(rng: random.Random) -> None:
    """Check one query."""
    if rng.random() < 0.6:
        text = damaged(rng, rng.choice(MORE).encode()).decode("utf-8", "replace")
    else:
        text = "SELECT " + " ".join(rng.choices(WORDS, k=rng.randrange(1, 25)))
    with suppress(QueryError), Budget(MOST_STEPS).in_force():
        compile_query(text, PARAMETERS, now_seconds=float).run(DOCUMENTS)
        plan = distributed(text, PARAMETERS, [["id"]], one_key=False, now_seconds=float)
        rewritten = plan.info["rewrittenQuery"].replace(RESUME, "true")
        compile_query(rewritten or text, PARAMETERS, now_seconds=float).run(DOCUMENTS)


if __name__ == "__main__":
    main(check, "Fuzz the query engine with texts.")
