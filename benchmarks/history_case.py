"""What it costs to write down what happens: batches and hosts with events beside those without.

Batches are the writing alone, of one connection; a host reads the same changes from the container. Both
databases hold the first load before the clock starts, which is no event in either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import psycopg

from benchmarks.account import Account, emulator, running
from benchmarks.applying import by_ours, loads, measure
from benchmarks.documents import Feed, Shop
from benchmarks.findings import Finding, Report, Target, ratios
from benchmarks.ours import Ours
from benchmarks.suite import Suite
from benchmarks.target import WrongResult, check_rows, check_totals
from benchmarks.timing import Cost, tree_seconds

BATCH = 1000
UPDATES, UPDATES_LOGGED = "updates", "updates, with events"
NEW, NEW_LOGGED = "new rows", "new rows, with events"
HOST, HOST_LOGGED = "one host, changes", "one host, changes, with events"
RUN = ["-m", "projector", "run", "--until-caught-up"]
LIVE = Target(must=0.85, stretch=0.90)

# What a host does once its copy is complete.
BEGIN = """
INSERT INTO projector.history (projection, generation, began_at, known_from)
VALUES ('carts', 1, clock_timestamp(), clock_timestamp())"""


async def with_events(suite: Suite) -> Report:
    """Updates and new rows by batches, and changes by a host."""
    costs: dict[str, list[Cost]] = defaultdict(list)
    for number in range(suite.rounds):
        suite.say(f"round {number + 1}: batches with events")
        await _batches(suite, costs, seed=number)
    with emulator() as account:
        for number in range(suite.rounds):
            suite.say(f"round {number + 1}: a host with events")
            _hosts(suite, account, costs, number)
    return Report(
        case="with events",
        costs=costs,
        findings=[
            Finding(
                measure="live speed of a host with events against without",
                target=LIVE,
                rounds=ratios(costs[HOST_LOGGED], costs[HOST]),
            ),
            Finding(
                measure="writing alone with events against without, updates",
                target=Target(stretch=0.85),
                rounds=ratios(costs[UPDATES_LOGGED], costs[UPDATES]),
            ),
            Finding(
                measure="writing alone with events against without, new rows",
                target=Target(stretch=0.85),
                rounds=ratios(costs[NEW_LOGGED], costs[NEW]),
            ),
        ],
    )


async def _batches(suite: Suite, costs: dict[str, list[Cost]], *, seed: int) -> None:
    shop, feed = Shop(seed), Feed()
    documents = shop.carts(suite.sizes.apply)
    with suite.server.database() as url, suite.server.database() as other:
        async with Ours(url) as plain, Ours(other) as logged:
            for load in loads(feed.stamp(documents), BATCH):
                await plain.apply(load.pages)
                await logged.apply(load.pages)
            _begin(other)
            for one in (url, other):
                suite.server.settle(one)
            changed = loads(feed.stamp(shop.changed(shop.revisited(documents))), BATCH)
            more = loads(feed.stamp(shop.carts(suite.sizes.apply)), BATCH)
            for batches, names in ((changed, (UPDATES, UPDATES_LOGGED)), (more, (NEW, NEW_LOGGED))):
                variants = [by_ours(names[0], plain), by_ours(names[1], logged)]
                for name, cost in (await measure(batches, variants)).items():
                    costs[name].append(cost)
        check_totals(other)
        _check_events(url, 0)
        _check_events(other, 2 * suite.sizes.apply)


def _hosts(suite: Suite, account: Account, costs: dict[str, list[Cost]], number: int) -> None:
    shop = Shop(number)
    documents = shop.carts(suite.sizes.end_to_end_small)
    container = f"history-{number}"
    account.create(container, documents)
    with suite.server.database() as url, suite.server.database() as other:
        ways = [(HOST, url, "false"), (HOST_LOGGED, other, "true")]
        for _, target, on in ways:
            _run(account, container, target, on)
        account.load(container, shop.changed(shop.revisited(documents)))
        for name, target, on in ways if number % 2 else reversed(ways):
            server = tree_seconds(suite.server.pid)
            ended = _run(account, container, target, on)
            costs[name].append(
                Cost(
                    documents=len(documents),
                    seconds=ended[0],
                    client_seconds=ended[1],
                    server_seconds=tree_seconds(suite.server.pid) - server,
                )
            )
            check_rows(target, "projector_g1.cart_items", len(documents))
            check_totals(target)
        _check_events(url, 0)
        _check_events(other, len(documents))


def _run(account: Account, container: str, url: str, history: str) -> Sequence[float]:
    """Seconds on the clock, and of the processor."""
    settings = account.settings(container=container, url=url, run=f"{container}-{history}")
    with running(RUN, {**settings, "HISTORY": history}) as host:
        ended = host.wait().expect_success()
    return ended.seconds, ended.cpu_seconds


def _begin(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(BEGIN)


def _check_events(url: str, expected: int) -> None:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM projector.cart_events").fetchone()
    if row is None or row[0] != expected:
        raise WrongResult(f"{row} events instead of {expected}")
