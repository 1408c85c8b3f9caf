"""Our initial load beside dlt's merge of the same documents, in one run and in a run per 1,000.

dlt is a dependency of this comparison alone: its versions are pinned with hashes in
`benchmarks/requirements.lock` and live in `.venv-bench`, made on first use. Where they cannot be
installed the comparison is left out, and the results say so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.apply_cases import BATCH, fresh
from benchmarks.applying import by_ours, loads, measure
from benchmarks.documents import Document, Feed, Shop, chunks
from benchmarks.findings import Finding, Report, Target, ratios
from benchmarks.suite import Suite
from benchmarks.target import WrongResult, check_rows
from benchmarks.timing import Cost

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parent / ".venv-bench"
LOCK = HERE / "requirements.lock"
ONE_RUN = "dlt merge, one run"
MANY_RUNS = "dlt merge, a run per 1,000"
OURS = "ours, initial load, beside dlt"
LEFT_OUT = frozenset({"_rid", "_self", "_attachments"})


class Unavailable(Exception):
    """The comparison cannot be made here; the text says why."""


async def dlt_merge(suite: Suite) -> Report:
    """Each round: ours, dlt in one run, dlt in several runs, on empty databases."""
    try:
        python = _environment(suite)
    except Unavailable as error:
        return Report(case="dlt", skipped=f"dlt is not measured: {error}")
    costs: dict[str, list[Cost]] = defaultdict(list)
    sizes = suite.sizes
    for number in range(suite.rounds):
        suite.say(f"round {number + 1}: dlt")
        documents = Feed().stamp(Shop(number).carts(sizes.dlt))
        async with fresh(suite) as (_, ours):
            found = await measure(loads(documents, BATCH), [by_ours(OURS, ours)])
        costs[OURS].append(found[OURS])
        costs[ONE_RUN].append(_run(suite, python, [documents]))
        several = list(chunks(documents[: sizes.dlt_runs * BATCH], BATCH))
        costs[MANY_RUNS].append(_run(suite, python, several))
    return Report(case="dlt", costs=costs, findings=_findings(costs))


def _findings(costs: dict[str, list[Cost]]) -> Sequence[Finding]:
    return [
        Finding(
            measure="against dlt merge without totals, one run",
            target=Target(must=4, stretch=6),
            rounds=ratios(costs[OURS], costs[ONE_RUN]),
        ),
        Finding(
            measure="against dlt merge without totals, a run per 1,000",
            target=Target(must=10, stretch=20),
            rounds=ratios(costs[OURS], costs[MANY_RUNS]),
        ),
    ]


def _run(suite: Suite, python: Path, batches: Sequence[Sequence[Document]]) -> Cost:
    """Load the batches, after one document that makes dlt's tables; the CPU is not told apart."""
    (first, *_), *_ = batches
    warm = {**first, "id": "the first one"}
    lines = [_line([warm]), *map(_line, batches)]
    with suite.server.database() as url, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "batches.jsonl"
        path.write_bytes(b"\n".join(lines))
        done = subprocess.run(
            [python, HERE / "dlt_merge.py", url, path], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise WrongResult(f"dlt failed: {done.stderr[-500:]}")
        count = sum(map(len, batches))
        check_rows(url, "dlt_carts.cart_items", count + 1)
    return Cost(documents=count, seconds=sum(json.loads(done.stdout)[1:]))


def _line(documents: Sequence[Document]) -> bytes:
    return msgspec.json.encode(
        [
            {name: value for name, value in document.items() if name not in LEFT_OUT}
            for document in documents
        ]
    )


def _environment(suite: Suite) -> Path:
    """The interpreter that has dlt; installs it once.

    Raises:
        Unavailable: it cannot be installed.
    """
    python = ENVIRONMENT / "bin" / "python"
    done = ENVIRONMENT / ".installed"
    if done.exists() and done.read_text() == LOCK.read_text():
        return python
    suite.say(f"installing dlt into {ENVIRONMENT.name} (once)")
    try:
        venv.create(ENVIRONMENT, clear=True, with_pip=True, symlinks=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"no environment could be made: {error}") from error
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes"]
    install = subprocess.run(
        [python, "-m", "pip", "install", *options, "--requirement", LOCK],
        capture_output=True,
        text=True,
        check=False,
    )
    if install.returncode:
        reason = (install.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise Unavailable(f"it could not be installed with {sys.executable}: {reason}")
    done.write_text(LOCK.read_text())
    return python
