"""From the container to SQL by real processes: one host, two hosts, and a straightforward loop.

Emulator, PostgreSQL and hosts share the machine. A run is timed from the start of the process to its
end, imports, migrations check, bootstrap of leases, final sweep and checkpoints included; its rows
and totals are checked afterwards. `apply only` is the writing of the same documents, decoded
beforehand, in batches of 1,000 and of 5,000, by one connection. The host's own batches
are of 1,000 and 2,000.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.account import DATABASE, Account, Finished, emulator, running
from benchmarks.apply_cases import BATCH, LARGE_BATCH, fresh
from benchmarks.applying import by_ours, loads, measure
from benchmarks.documents import Document, Feed, Shop
from benchmarks.findings import Finding, Report, Target, Unit, ratios
from benchmarks.suite import Suite
from benchmarks.target import check_rows, check_totals
from benchmarks.timing import Cost, tree_seconds

APPLY = "apply only, batch 1,000"
APPLY_LARGE = "apply only, batch 5,000"
ONE_HOST = "one host, end to end"
TWO_HOSTS = "two hosts, end to end"
SMALL = "one host, end to end, few documents"
LOOP = "straightforward loop without totals"
LOOP_TOTALS = "straightforward loop with totals"
EMULATOR = "the emulator beside one host"
RUN = ["-m", "projector", "run", "--until-caught-up"]
MEGABYTE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """What is read: the whole, a tenth of it, and the parts for the loops."""

    whole: Sequence[Document]
    few: Sequence[Document]
    loop: Sequence[Document]
    loop_with_totals: Sequence[Document]


class Rounds:
    """The runs of all rounds, by name."""

    def __init__(self, suite: Suite, account: Account, containers: Containers) -> None:
        self._suite = suite
        self._account = account
        self._containers = containers
        self.costs: dict[str, list[Cost]] = defaultdict(list)
        self.memory: dict[str, list[float]] = defaultdict(list)

    async def run(self, number: int) -> None:
        """Every way once."""
        self._suite.say(f"round {number + 1}: end to end")
        await self._apply_only()
        self._hosts(ONE_HOST, "whole", self._containers.whole, number, hosts=1)
        self._hosts(TWO_HOSTS, "whole", self._containers.whole, number, hosts=2)
        self._hosts(SMALL, "few", self._containers.few, number, hosts=1)
        self._loop(LOOP, "loop", self._containers.loop, totals=False)
        self._loop(LOOP_TOTALS, "totals", self._containers.loop_with_totals, totals=True)

    async def _apply_only(self) -> None:
        documents = self._containers.whole[: self._suite.sizes.apply_large_batches]
        for name, size in ((APPLY, BATCH), (APPLY_LARGE, LARGE_BATCH)):
            batches = loads(Feed().stamp(documents), size)
            async with fresh(self._suite) as (url, ours):
                found = await measure(batches, [by_ours(name, ours)])
                check_totals(url)
            self.costs[name].append(found[name])

    def _hosts(
        self, name: str, container: str, documents: Sequence[Document], number: int, *, hosts: int
    ) -> None:
        run = f"{number}-{container}-{hosts}"
        with self._suite.server.database() as url:
            server, service = self._server_seconds(), self._account.cpu_seconds
            ended = self._run_hosts(url, container, run, hosts)
            cost = Cost(
                documents=len(documents),
                seconds=max(one.seconds for one in ended),
                client_seconds=sum(one.cpu_seconds for one in ended),
                server_seconds=self._server_seconds() - server,
            )
            check_rows(url, "projector_g1.cart_items", len(documents))
            check_totals(url)
        self.costs[name].append(cost)
        self.memory[name].append(max(one.resident_bytes for one in ended) / MEGABYTE)
        if name == ONE_HOST:
            spent = self._account.cpu_seconds - service
            self.costs[EMULATOR].append(
                Cost(documents=len(documents), seconds=cost.seconds, client_seconds=spent)
            )

    def _run_hosts(self, url: str, container: str, run: str, hosts: int) -> list[Finished]:
        settings = self._account.settings(container=container, url=url, run=run)
        with running(RUN, settings) as first:
            if hosts == 1:
                return [first.wait().expect_success()]
            with running(RUN, {**settings, "INSTANCE_NAME": f"{run}-b"}) as second:
                return [one.wait().expect_success() for one in (first, second)]

    def _loop(
        self, name: str, container: str, documents: Sequence[Document], *, totals: bool
    ) -> None:
        with self._suite.server.database() as url:
            arguments = {
                "endpoint": self._account.endpoint,
                "key": self._account.key,
                "database": DATABASE,
                "container": container,
                "url": url,
            }
            options = [text for key, value in arguments.items() for text in (f"--{key}", value)]
            server = self._server_seconds()
            more = ["--totals"] if totals else []
            with running(["-m", "benchmarks.straightforward", *options, *more], {}) as process:
                ended = process.wait().expect_success()
            check_rows(url, "hand_items", len(documents))
            self.costs[name].append(
                Cost(
                    documents=len(documents),
                    seconds=ended.seconds,
                    client_seconds=ended.cpu_seconds,
                    server_seconds=self._server_seconds() - server,
                )
            )

    def _server_seconds(self) -> float:
        return tree_seconds(self._suite.server.pid)


async def end_to_end(suite: Suite) -> Report:
    """All runs over one emulator, seeded once."""
    sizes, shop = suite.sizes, Shop()
    containers = Containers(
        whole=shop.carts(sizes.end_to_end),
        few=shop.carts(sizes.end_to_end_small),
        loop=shop.carts(sizes.loop),
        loop_with_totals=shop.carts(sizes.loop_with_totals),
    )
    with emulator() as account:
        suite.say(f"seeding the emulator with {sizes.end_to_end:,} documents")
        account.create("whole", containers.whole)
        account.create("few", containers.few)
        account.create("loop", containers.loop)
        account.create("totals", containers.loop_with_totals)
        rounds = Rounds(suite, account, containers)
        for number in range(suite.rounds):
            await rounds.run(number)
    return Report(case="end to end", costs=rounds.costs, findings=_findings(suite, rounds))


def _findings(suite: Suite, rounds: Rounds) -> list[Finding]:
    costs, memory, sizes = rounds.costs, rounds.memory, suite.sizes
    growth = [a / b for a, b in zip(memory[ONE_HOST], memory[SMALL], strict=True)]
    return [
        Finding(
            measure=f"end to end, {sizes.end_to_end:,} documents over 4 ranges, against apply only",
            target=Target(must=0.60, stretch=0.75),
            rounds=ratios(costs[ONE_HOST], costs[APPLY]),
        ),
        Finding(
            measure="the same against apply only in batches of 5,000",
            target=Target(must=0.60, stretch=0.75),
            rounds=ratios(costs[ONE_HOST], costs[APPLY_LARGE]),
        ),
        Finding(
            measure="end to end against a straightforward loop without totals",
            target=Target(must=4, stretch=6),
            rounds=ratios(costs[ONE_HOST], costs[LOOP]),
        ),
        Finding(
            measure="end to end against a straightforward loop with totals by hand",
            target=Target(must=20, stretch=30),
            rounds=ratios(costs[ONE_HOST], costs[LOOP_TOTALS]),
        ),
        Finding(
            measure="two hosts against one",
            target=Target(must=0.95, stretch=1.2),
            rounds=ratios(costs[TWO_HOSTS], costs[ONE_HOST]),
        ),
        Finding(
            measure=f"memory at {sizes.end_to_end:,} documents against {sizes.end_to_end_small:,}",
            target=Target(must=1.15, stretch=1.05, at_most=True),
            rounds=growth,
        ),
        Finding(
            measure=f"memory of the host at {sizes.end_to_end:,} documents, peak",
            target=Target(must=250, stretch=150, at_most=True),
            rounds=memory[ONE_HOST],
            unit=Unit.MEGABYTES,
        ),
    ]
