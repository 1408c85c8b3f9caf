"""Runs several commands of dbt and MetricFlow, one after another, in one process of their environment.

Each start of them costs seconds. It reads steps from standard input and writes what came of each into
`answers.json`: a step is {"dbt": arguments}, {"mf": arguments} or {"sql": statement}, which runs as the
owner. Nothing of ours is imported here.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import psycopg2  # type: ignore[import-untyped, unused-ignore]
from click.testing import CliRunner
from dbt.cli.main import dbtRunner  # type: ignore[import-not-found, unused-ignore]
from dbt_metricflow.cli.main import cli  # type: ignore[import-not-found, unused-ignore]

RESULTS = (Path("target/run_results.json"), Path("target/sources.json"))


def main() -> None:
    """Leaves the answers in a file: standard output is theirs."""
    answers = [taken(step) for step in json.load(sys.stdin)]
    Path("answers.json").write_text(json.dumps(answers))


def taken(step: dict[str, Any]) -> dict[str, Any]:
    """Takes one step."""
    if "sql" in step:
        connection = psycopg2.connect(os.environ["OWNER_URL"])
        connection.autocommit = True
        connection.cursor().execute(step["sql"])
        connection.close()
        return {"ok": True}
    if "mf" in step:
        result = CliRunner().invoke(cli, step["mf"])
        return {"ok": result.exit_code == 0, "said": result.output}
    for file in RESULTS:
        file.unlink(missing_ok=True)
    outcome = dbtRunner().invoke([*step["dbt"], "--no-use-colors"])
    found = [json.loads(file.read_text())["results"] for file in RESULTS if file.exists()]
    return {
        "ok": outcome.success,
        "said": str(outcome.exception),
        "results": found[0] if found else [],
    }


if __name__ == "__main__":
    main()
