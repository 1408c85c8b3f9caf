"""A whole rebuild beside plain COPY: from the first request to a generation that could be promoted.

Keys, totals, indexes and places included, by one process and by two, from either source. The yardstick is
COPY FROM STDIN of the same documents, decoded beforehand, into a heap with its primary key, by one connection
that commits every 5,000 rows: formatting and writing alone are timed. Emulator, PostgreSQL and processes
share the machine. Rows and totals of each run are checked before its time counts.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack

import psycopg

from benchmarks.account import Account, Finished, emulator, running
from benchmarks.applying import project_page, without_collector
from benchmarks.baselines import PlainCopy
from benchmarks.documents import Document, Feed, Shop, chunks, page_body
from benchmarks.filling import FILLED, SCHEMA
from benchmarks.findings import Finding, Report, Target, Unit, ratios
from benchmarks.suite import Suite
from benchmarks.target import WrongResult, check_rows, check_totals
from benchmarks.timing import Cost, Stopwatch, tree_seconds
from projector.postgres.tables import plain_statements

CONTAINER = "rebuilt"
BATCH = 5000
COPY = "COPY into heap and primary key"
EMULATOR = "the emulator beside one process, feed"
MEGABYTE = 1e6
WAYS: Sequence[tuple[str, int, Target]] = (
    ("feed", 1, Target(must=0.50, stretch=0.65)),
    ("feed", 2, Target(must=0.65, stretch=0.80)),
    ("scan", 1, Target(must=0.50, stretch=0.65)),
    ("scan", 2, Target(must=0.65, stretch=0.80)),
)


class Rounds:
    """The runs of all rounds, by name."""

    def __init__(self, suite: Suite, account: Account, documents: Sequence[Document]) -> None:
        self._suite = suite
        self._account = account
        self._documents = documents
        self.costs: dict[str, list[Cost]] = defaultdict(list)
        self.memory: dict[str, list[float]] = defaultdict(list)
        self.units: dict[str, list[float]] = defaultdict(list)

    def run(self, number: int) -> None:
        """Every way once."""
        self._suite.say(f"round {number + 1}: rebuild of {len(self._documents):,} documents")
        self._copy()
        for source, processes, _ in WAYS:
            self._rebuild(source, processes, f"{number}-{source}-{processes}")

    def _copy(self) -> None:
        feed = Feed()
        with self._suite.server.database() as url, PlainCopy(url) as copy:
            copy.create()
            watch = Stopwatch(backend_pid=copy.backend_pid)
            with without_collector():
                for part in chunks(self._documents, BATCH):
                    writes = project_page(page_body(feed.stamp(part))).writes
                    with watch.running(len(part)):
                        copy.apply(writes)
            check_rows(url, "copied", len(self._documents))
        self.costs[COPY].append(watch.cost)

    def _rebuild(self, source: str, processes: int, run: str) -> None:
        name, count = way(source, processes), len(self._documents)
        with self._suite.server.database() as url:
            with psycopg.connect(url, autocommit=True) as connection:
                for statement in plain_statements(FILLED):
                    connection.execute(statement.encode())
            server, service = tree_seconds(self._suite.server.pid), self._account.cpu_seconds
            ended = self._fill(url, source, processes, run)
            spent = tree_seconds(self._suite.server.pid) - server
            check_rows(url, f"{SCHEMA}.cart_items", count)
            check_totals(url, SCHEMA)
        told = [json.loads(one.output.splitlines()[-1]) for one in ended]
        cost = Cost(
            documents=count,
            seconds=max(one["ended"] for one in told) - min(one["began"] for one in told),
            client_seconds=sum(one.cpu_seconds for one in ended),
            server_seconds=spent,
        )
        self.costs[name].append(cost)
        self.memory[name].append(max(one.resident_bytes for one in ended) / MEGABYTE)
        units = [one["request_units"] for one in told if one["request_units"] is not None]
        self.units[name].append(max(units) / count * 1000)
        if (source, processes) == WAYS[0][:2]:
            emulated = self._account.cpu_seconds - service
            self.costs[EMULATOR].append(
                Cost(documents=count, seconds=cost.seconds, client_seconds=emulated)
            )

    def _fill(self, url: str, source: str, processes: int, run: str) -> list[Finished]:
        settings = self._account.settings(container=CONTAINER, url=url, run=run)
        with ExitStack() as stack:
            started = [
                stack.enter_context(
                    running(
                        ["-m", "benchmarks.filling", source],
                        {**settings, "INSTANCE_NAME": f"{run}-{number}"},
                    )
                )
                for number in range(processes)
            ]
            return [one.wait().expect_success() for one in started]


def way(source: str, processes: int) -> str:
    """What a run is called."""
    return f"rebuild from the {source}, {'one process' if processes == 1 else 'two processes'}"


async def rebuild(suite: Suite) -> Report:
    """All runs over one emulator, seeded once."""
    documents = Shop().carts(suite.sizes.rebuild)
    with emulator() as account:
        suite.say(f"seeding the emulator with {len(documents):,} documents")
        account.create(CONTAINER, documents)
        rounds = Rounds(suite, account, documents)
        for number in range(suite.rebuild_rounds):
            rounds.run(number)
    if not rounds.costs[COPY]:
        raise WrongResult("no round was run")
    return Report(case="rebuild", costs=rounds.costs, findings=_findings(suite, rounds))


def _findings(suite: Suite, rounds: Rounds) -> list[Finding]:
    size = f"{suite.sizes.rebuild:,} documents"
    found = [
        Finding(
            measure=f"{way(source, processes)}, {size}, against COPY",
            target=target,
            rounds=ratios(rounds.costs[way(source, processes)], rounds.costs[COPY]),
        )
        for source, processes, target in WAYS
    ]
    found.append(
        Finding(
            measure=f"memory of a process that fills, {size}, peak",
            target=Target(must=250, stretch=150, at_most=True),
            rounds=rounds.memory[way("feed", 1)],
            unit=Unit.MEGABYTES,
        )
    )
    found += [
        Finding(
            measure=f"request units per 1,000 documents, {source}, as the emulator charges",
            target=Target(),
            rounds=rounds.units[way(source, 1)],
        )
        for source in ("feed", "scan")
    ]
    return found
