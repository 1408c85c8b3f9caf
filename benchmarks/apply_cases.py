"""The cases of writing alone: initial load, replay, updates, hot carts, a large table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.applying import (
    Load,
    Variant,
    by_copy,
    by_hand,
    by_list,
    by_ours,
    loads,
    measure,
)
from benchmarks.baselines import ByHand, ListUpsert, PlainCopy
from benchmarks.documents import Document, Feed, Shop
from benchmarks.findings import Finding, Report, Target, ratios
from benchmarks.ours import PLAIN, Ours, create_plain
from benchmarks.suite import Suite
from benchmarks.target import check_rows, check_totals
from benchmarks.timing import Cost

BATCH = 1000
LARGE_BATCH = 5000
SINGLE, HUNDRED = 1, 100
HOT_CARTS = 2000

OURS_INITIAL = "ours, initial load"
PLAIN_INITIAL = "ours without totals, initial load"
OURS_REPLAY = "ours, replay of unchanged documents"
OURS_UPDATE = "ours, updates"
PLAIN_UPDATE = "ours without totals, updates"
LIST_INITIAL = "SQLAlchemy list upsert, initial load"
LIST_UPDATE = "SQLAlchemy list upsert, updates"
HAND_UPDATE = "by hand with totals, commit per {}, updates"
LARGE_TABLE = "ours, updates in the large table"
SMALL_TABLE = "ours, updates in the small table"
LARGE_NEW = "ours, new rows in the large table"
SMALL_NEW = "ours, new rows in the small table"
COPY_INITIAL = "COPY into heap and primary key"

Costs = dict[str, list[Cost]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stands:
    """The databases of one round, open; `plain` has one of its own, for it writes the same range."""

    url: str
    ours: Ours
    plain: Ours
    copy: PlainCopy
    listed: ListUpsert


@asynccontextmanager
async def _stands(suite: Suite) -> AsyncIterator[Stands]:
    async with fresh(suite) as (url, ours):
        with PlainCopy(url) as copy, ListUpsert(url) as listed, suite.server.database() as other:
            copy.create()
            listed.create()
            create_plain(other)
            async with Ours(other, generation=PLAIN) as plain:
                yield Stands(url=url, ours=ours, plain=plain, copy=copy, listed=listed)


@asynccontextmanager
async def fresh(suite: Suite) -> AsyncIterator[tuple[str, Ours]]:
    """The sink on an empty database of its own."""
    with suite.server.database() as url:
        async with Ours(url) as ours:
            yield url, ours


async def small_batches(suite: Suite) -> Report:
    """Batches of 1,000: initial load, replay, updates, each beside what people write instead."""
    costs: Costs = defaultdict(list)
    for number in range(suite.rounds):
        suite.say(f"round {number + 1}: batches of {BATCH:,}")
        async with _stands(suite) as stands:
            await _round(suite, stands, costs, seed=number)
    return Report(case="batches of 1,000", costs=costs, findings=_findings(costs))


async def _round(suite: Suite, stands: Stands, costs: Costs, *, seed: int) -> None:
    shop, feed = Shop(seed), Feed()
    documents = shop.carts(suite.sizes.apply)
    initial = loads(feed.stamp(documents), BATCH)
    found = await measure(
        initial,
        [
            by_ours(OURS_INITIAL, stands.ours),
            by_ours(PLAIN_INITIAL, stands.plain),
            by_copy(stands.copy),
            by_list(stands.listed, limit=suite.sizes.slow),
        ],
    )
    _add(costs, found, {"COPY": COPY_INITIAL, "SQLAlchemy list upsert": LIST_INITIAL})
    check_rows(stands.url, "copied", len(documents))
    suite.server.settle(stands.url)
    _add(costs, await measure(initial, [by_ours(OURS_REPLAY, stands.ours)]))
    again = shop.revisited(documents)  # carts do not change in the order of the first load
    before = loads(feed.stamp(again), BATCH)
    changed = loads(feed.stamp(shop.changed(again)), BATCH)
    await _updates(suite, stands, costs, before, changed)
    check_rows(stands.url, "projector_g1.cart_items", len(documents))
    check_totals(stands.url)


async def _updates(
    suite: Suite, stands: Stands, costs: Costs, before: Sequence[Load], changed: Sequence[Load]
) -> None:
    sizes = suite.sizes
    with (
        suite.server.database() as url,
        suite.server.database() as other,
        ByHand(url) as single,
        ByHand(other) as hundred,
    ):
        for hand, limit in ((single, sizes.single), (hundred, sizes.hundred)):
            hand.create()
            for load in before[: limit // BATCH + 2]:
                hand.apply(load.documents, commit_every=BATCH)
        found = await measure(
            changed,
            [
                by_ours(OURS_UPDATE, stands.ours),
                by_ours(PLAIN_UPDATE, stands.plain),
                by_list(stands.listed, limit=sizes.slow),
                by_hand(single, commit_every=SINGLE, limit=sizes.single),
                by_hand(hundred, commit_every=HUNDRED, limit=sizes.hundred),
            ],
        )
        single.check()
        hundred.check()
    names = {
        f"by hand with totals, commit per {every}": HAND_UPDATE.format(every)
        for every in (SINGLE, HUNDRED)
    }
    _add(costs, found, {**names, "SQLAlchemy list upsert": LIST_UPDATE})


def _findings(costs: Mapping[str, Sequence[Cost]]) -> Sequence[Finding]:
    listed, totals = Target(must=2.2, stretch=2.5), Target(must=0.65, stretch=0.75)
    rows = (
        ("apply only, initial load, batch 1,000, against COPY", OURS_INITIAL, COPY_INITIAL,
         Target(must=0.40, stretch=0.50)),
        ("replay of unchanged documents against initial load", OURS_REPLAY, OURS_INITIAL,
         Target(must=1.7, stretch=2.2)),
        ("exact totals against none, initial load", OURS_INITIAL, PLAIN_INITIAL, totals),
        ("exact totals against none, updates", OURS_UPDATE, PLAIN_UPDATE, totals),
        ("against SQLAlchemy Core list upsert, initial load", OURS_INITIAL, LIST_INITIAL, listed),
        ("against SQLAlchemy Core list upsert, updates", OURS_UPDATE, LIST_UPDATE, listed),
        ("against upsert by hand with totals, commit per document", OURS_UPDATE,
         HAND_UPDATE.format(SINGLE), Target(must=30, stretch=50)),
        ("against upsert by hand with totals, commit per 100", OURS_UPDATE,
         HAND_UPDATE.format(HUNDRED), Target(must=12, stretch=20)),
    )  # fmt: skip
    return [
        Finding(measure=measure_, target=target, rounds=ratios(costs[ours], costs[theirs]))
        for measure_, ours, theirs, target in rows
    ]


async def large_batches(suite: Suite) -> Report:
    """Batches of 5,000: initial load beside COPY, and the replay of it."""
    costs: Costs = defaultdict(list)
    for number in range(suite.rounds):
        suite.say(f"round {number + 1}: batches of {LARGE_BATCH:,}")
        documents = Shop(number).carts(suite.sizes.apply_large_batches)
        batches = loads(Feed().stamp(documents), LARGE_BATCH)
        async with _stands(suite) as stands:
            ours = by_ours("ours, initial load, batch 5,000", stands.ours)
            _add(costs, await measure(batches, [ours, by_copy(stands.copy)]))
            replay = by_ours("ours, replay, batch 5,000", stands.ours)
            _add(costs, await measure(batches, [replay]))
            check_rows(stands.url, "projector_g1.cart_items", len(documents))
            check_rows(stands.url, "copied", len(documents))
            check_totals(stands.url)
    costs["COPY, batch 5,000"] = costs.pop("COPY")
    initial, replay_costs = (
        costs["ours, initial load, batch 5,000"],
        costs["ours, replay, batch 5,000"],
    )
    return Report(
        case="batches of 5,000",
        costs=costs,
        findings=[
            Finding(
                measure="apply only, initial load, batch 5,000, against COPY",
                target=Target(must=0.40, stretch=0.50),
                rounds=ratios(initial, costs["COPY, batch 5,000"]),
            ),
            Finding(
                measure="replay of unchanged documents against initial load, batch 5,000",
                target=Target(must=1.7, stretch=2.2),
                rounds=ratios(replay_costs, initial),
            ),
        ],
    )


async def hot_carts(suite: Suite) -> Report:
    """Few busy carts (Zipf), a fifth of the changes soft deletes, beside an initial load."""
    costs: Costs = defaultdict(list)
    for number in range(suite.rounds):
        suite.say(f"round {number + 1}: hot carts")
        shop = Shop(number)
        hot = loads(Feed().stamp(shop.hot(suite.sizes.apply, HOT_CARTS)), BATCH)
        cold = iter(loads(Feed().stamp(shop.carts(suite.sizes.apply)), BATCH))
        async with fresh(suite) as (hot_url, hot_ours), fresh(suite) as (url, ours):

            async def write_cold(_: Load, ours: Ours = ours, cold: Iterator[Load] = cold) -> None:
                await ours.apply(next(cold).pages)

            beside = Variant(name=OURS_INITIAL, backend_pid=ours.backend_pid, write=write_cold)
            _add(costs, await measure(hot, [by_ours("ours, hot carts", hot_ours), beside]))
            check_totals(hot_url)
            check_totals(url)
    return Report(
        case="hot carts",
        costs=costs,
        findings=[
            Finding(
                measure="hot carts (Zipf), 20% soft deletes, against initial load",
                target=Target(stretch=0.9),
                rounds=ratios(costs["ours, hot carts"], costs[OURS_INITIAL]),
            )
        ],
    )


async def large_table(suite: Suite) -> Report:
    """New rows, and updates of rows from all over the table, at many rows and at few.

    Between two checkpoints: the first change of a page after one logs the whole page, which in a large
    table happens to nearly every row, whatever writes it.
    """
    sizes, costs = suite.sizes, defaultdict[str, list[Cost]](list)
    async with fresh(suite) as (large_url, large), fresh(suite) as (small_url, small):
        wanted = sizes.large_updates * suite.rounds
        suite.say(f"filling tables with {sizes.large:,} and {sizes.small:,} rows")
        far, near = Table(large, 1), Table(small, 2)
        await far.fill(sizes.large, keep=wanted)
        await near.fill(sizes.small, keep=wanted)
        for url in (large_url, small_url):
            suite.server.settle(url, checkpoint=False)
        for number in range(suite.rounds):
            suite.say(f"round {number + 1}: updates and new rows in a large and in a small table")
            count = sizes.large_updates
            for names, many, few in (
                ((LARGE_TABLE, SMALL_TABLE), far.updates(count), near.updates(count)),
                ((LARGE_NEW, SMALL_NEW), far.new(count), near.new(count)),
            ):
                coming = iter(few)

                async def write_few(_: Load, coming: Iterator[Load] = coming) -> None:
                    await small.apply(next(coming).pages)

                beside = Variant(name=names[1], backend_pid=small.backend_pid, write=write_few)
                _add(costs, await measure(many, [by_ours(names[0], large), beside]))
        added = sizes.large_updates * suite.rounds
        check_rows(large_url, "projector_g1.cart_items", sizes.large + added)
        check_totals(large_url)
    return Report(
        case="large table",
        costs=costs,
        findings=[
            Finding(
                measure=f"batches of {BATCH:,} updates at {sizes.large:,} rows against {sizes.small:,}",
                target=Target(must=0.8, stretch=0.9),
                rounds=ratios(costs[LARGE_TABLE], costs[SMALL_TABLE]),
            ),
            Finding(
                measure=f"batches of {BATCH:,} new rows at {sizes.large:,} rows against {sizes.small:,}",
                target=Target(must=0.8, stretch=0.9),
                rounds=ratios(costs[LARGE_NEW], costs[SMALL_NEW]),
            ),
        ],
    )


class Table:
    """A table that is filled through the sink, and lines of it to change later."""

    def __init__(self, ours: Ours, seed: int) -> None:
        self._ours = ours
        self._shop = Shop(seed)
        self._feed = Feed()
        self._kept: list[Document] = []

    async def fill(self, rows: int, *, keep: int) -> None:
        """Write that many rows; keep lines from all over them, at most `keep`."""
        step = max(1, rows // keep)
        for _ in range(0, rows, LARGE_BATCH):
            documents = self._shop.carts(LARGE_BATCH)
            self._kept.extend(documents[::step])
            (load,) = loads(self._feed.stamp(documents), LARGE_BATCH)
            await self._ours.apply(load.pages)
        self._shop.shuffle(self._kept)

    def new(self, count: int) -> list[Load]:
        """That many lines of new carts."""
        return loads(self._feed.stamp(self._shop.carts(count)), BATCH)

    def updates(self, count: int) -> list[Load]:
        """That many of the kept lines, changed; each line is kept for one round."""
        part, self._kept = self._kept[:count], self._kept[count:]
        return loads(self._feed.stamp(self._shop.changed(part)), BATCH)


def _add(costs: Costs, found: Mapping[str, Cost], names: Mapping[str, str] | None = None) -> None:
    for name, cost in found.items():
        costs[(names or {}).get(name, name)].append(cost)
