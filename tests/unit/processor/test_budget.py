"""Eight hosts over 64 ranges of the emulator's engine, in virtual time, under one limit of request units."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from typing_extensions import override

from cosmos_emulator import Engine
from projector.core.errors import ProjectorError
from projector.core.names import Continuation
from projector.core.start import Position
from projector.ports.feed import Applied, FeedTarget, Grant, Page
from projector.processor.budget import BACKLOG_SECONDS, Budget
from projector.processor.host import Host
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import FakeLedger
from tests.fakes.sink import Documents, FakeSink
from tests.fakes.world import Member, World
from tests.simulation.ports import CART, DATABASE, Passage, SimulatedSource

T = TypeVar("T")
LIMIT = 400.0
BACKLOG = 5000
HOSTS, RANGES = 8, 64
WINDOW_SECONDS = 10.0
LATENCY_SECONDS = 0.01
PADDING = "x" * 10_000
"""A document of a backlog costs one request unit to read."""


class Wire(Passage):
    """The way to the engine: nothing but some time."""

    def __init__(self) -> None:
        """No gates."""

    @override
    async def cross(
        self, call: str, failure: Callable[[], ProjectorError], act: Callable[[], Awaitable[T]]
    ) -> T:
        await asyncio.sleep(LATENCY_SECONDS)
        return await act()


@dataclass
class Account:
    """What the service has charged, and when."""

    clock: FakeClock
    charges: list[tuple[float, float]] = field(default_factory=list)

    def note(self, units: float) -> None:
        self.charges.append((self.clock.monotonic(), units))

    def most_in_a_window(self) -> float:
        window: deque[tuple[float, float]] = deque()
        inside = most = 0.0
        for at, units in self.charges:
            window.append((at, units))
            inside += units
            while window[0][0] <= at - WINDOW_SECONDS:
                inside -= window.popleft()[1]
            most = max(most, inside)
        return most

    def between(self, began: float, ended: float) -> float:
        return sum(units for at, units in self.charges if began <= at < ended)


class ChargedSource(SimulatedSource):
    """Tells account and budget what each page cost."""

    def __init__(self, engine: Engine, account: Account, budget: Budget) -> None:
        super().__init__(engine, Wire(), random.Random(1))
        self._account, self._budget = account, budget

    @override
    async def read_page(
        self, target: FeedTarget, continuation: Continuation | None, *, max_documents: int
    ) -> Page:
        page = await super().read_page(target, continuation, max_documents=max_documents)
        self._account.note(page.request_units)
        self._budget.charge(page.request_units)
        return page


class TimedSink(FakeSink):
    """Remembers when each document was applied first."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.applied_at: dict[str, float] = {}

    @override
    async def apply(self, grant: Grant, pages: Any, position: Position) -> Applied:
        done = await super().apply(grant, pages, position)
        for page in pages:
            for document in page:
                self.applied_at.setdefault(document["id"], self._clock.monotonic())
        return done


@dataclass
class Fleet:
    """Hosts with a budget each, over one ledger and one container."""

    world: World
    engine: Engine
    account: Account
    sink: TimedSink
    ledger: FakeLedger
    running: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, number: int) -> None:
        clock = self.world.clock
        budget = Budget(
            ledger=self.ledger, per_second=LIMIT, clock=clock, hosts=lambda: len(self.running)
        )
        member = Member(self.world, f"host-{number}", self.world.options, self.sink, clock)
        member.options = self.world.member(
            f"host-{number}", acquire_seconds=5.0, renew_seconds=6.0, expiration_seconds=20.0
        ).options
        member.host = Host[Documents](
            source=ChargedSource(self.engine, self.account, budget),
            leases=member.leases,
            markers=member.markers,
            sink=self.sink,
            sweeper=self.sink,
            options=member.options,
            clock=clock,
            draw=random.Random(number),
            allowance=budget,
        )

        async def run() -> None:
            booking = asyncio.ensure_future(budget.run())
            try:
                await member.host.run()
            finally:
                booking.cancel()

        self.running.append(asyncio.ensure_future(run()))

    async def kill(self, number: int) -> None:
        self.running[number].cancel()
        with suppress(asyncio.CancelledError):
            await self.running[number]

    async def end(self) -> None:
        for number in range(len(self.running)):
            await self.kill(number)

    def partition_of(self, cart: str) -> int:
        partitions = self.engine.container(DATABASE, CART).partitions()
        epk, _ = self.engine.container(DATABASE, CART).keys.epk_range((cart,))
        return next(n for n, one in enumerate(partitions) if one.minimum <= epk < one.maximum)


@pytest.fixture
async def fleet() -> Any:
    world = World(partitions=1)
    clock = world.clock
    engine = Engine(now=lambda: clock.now().timestamp(), rng=random.Random(1), partitions=RANGES)
    engine.create_database(DATABASE)
    definition = {"id": CART, "partitionKey": {"paths": ["/cartId"], "kind": "Hash", "version": 2}}
    engine.create_container(DATABASE, definition)
    made = Fleet(world, engine, Account(clock), TimedSink(clock), FakeLedger(clock))
    yield made
    await made.end()


async def until(clock: FakeClock, holds: Callable[[], bool], *, within_seconds: float) -> None:
    deadline = clock.monotonic() + within_seconds
    while not holds():
        assert clock.monotonic() < deadline
        await clock.sleep(0.5)


async def test_the_limit_holds_in_every_window_and_changes_go_before_the_backlog(
    fleet: Fleet,
) -> None:
    clock, container = fleet.world.clock, fleet.engine.container(DATABASE, CART)
    applied, counts = fleet.sink.applied_at, fleet.world.counts
    carts = [f"cart {number}" for number in range(1000)]
    place = {cart: fleet.partition_of(cart) for cart in carts}
    behind = [cart for cart in carts if place[cart] % 2]
    live = [cart for cart in carts if place[cart] % 2 == 0]
    for number in range(HOSTS):
        fleet.start(number)
    await until(clock, lambda: [*counts().values()] == [RANGES // HOSTS] * HOSTS, within_seconds=99)

    for number in range(BACKLOG):
        cart = behind[number % len(behind)]
        container.upsert({"id": f"old {number}", "cartId": cart, "padding": PADDING})
    began, written = clock.monotonic(), dict[str, float]()
    for number in range(60):
        name = f"new {number}"
        container.upsert({"id": name, "cartId": live[number % len(live)]})
        written[name] = clock.monotonic()
        await clock.sleep(0.1)
    await clock.sleep(0.5)
    killed = clock.monotonic()
    await fleet.kill(0)
    await until(clock, lambda: len(applied) == BACKLOG + len(written), within_seconds=300)
    await clock.sleep(WINDOW_SECONDS)

    most = fleet.account.most_in_a_window()
    assert most <= 1.05 * LIMIT * WINDOW_SECONDS
    assert fleet.account.between(began, killed) >= 0.85 * LIMIT * (killed - began)
    assert fleet.account.between(killed, killed + 3) >= 0.85 * LIMIT * 3  # seven hosts take it all
    assert fleet.ledger.bookings < len(fleet.account.charges) / 2
    waits = sorted(applied[name] - at for name, at in written.items() if applied[name] < killed)
    assert len(waits) > 40
    assert waits[len(waits) // 2] < 1.5
    olds = [at for name, at in applied.items() if name.startswith("old")]
    assert max(olds) - began > 3 * waits[-1]


@dataclass
class Desk:
    """One budget that nobody else has, and its ledger."""

    clock: FakeClock = field(default_factory=FakeClock)
    served: list[str] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = FakeLedger(self.clock)
        self.budget = Budget(
            ledger=self.ledger, per_second=100, clock=self.clock, on_waited=self.waited.append
        )

    async def read(self, name: str, documents: int = 0, *, live: bool, cost: float = 1.0) -> None:
        async with self.budget.spending(documents, live=live):
            self.served.append(name)
            self.budget.charge(cost)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    booking = asyncio.ensure_future(made.budget.run())
    yield made
    booking.cancel()


async def test_live_reads_go_first_and_a_backlog_goes_on_all_the_same(desk: Desk) -> None:
    async def keeps_reading() -> None:
        while True:
            await desk.read("live", live=True, cost=20)

    desk.budget.charge(100)
    reading = [asyncio.ensure_future(keeps_reading()) for _ in range(3)]
    behind = asyncio.ensure_future(desk.read("backlog", 90, live=False))
    await desk.clock.sleep(BACKLOG_SECONDS - 0.5)
    assert "backlog" not in desk.served
    await desk.clock.sleep(3)
    assert behind.done()
    for one in reading:
        one.cancel()


async def test_what_was_spent_unforeseen_is_waited_for(desk: Desk) -> None:
    desk.budget.charge(1000)
    await desk.read("after", live=True)
    assert desk.clock.monotonic() == pytest.approx(10, abs=0.5)
    assert desk.waited == [pytest.approx(10, abs=0.5)]


async def test_a_read_that_is_given_up_leaves_its_units_to_others(desk: Desk) -> None:
    desk.budget.charge(100)
    given_up = asyncio.ensure_future(desk.read("given up", 9000, live=True))
    await desk.clock.sleep(0.1)
    given_up.cancel()
    began = desk.clock.monotonic()
    await desk.read("next", live=True)
    assert desk.served == ["next"]
    assert desk.clock.monotonic() - began < 15


async def test_a_silent_ledger_is_waited_for(desk: Desk) -> None:
    desk.ledger.silent = True
    desk.budget.charge(100)
    reading = asyncio.ensure_future(desk.read("late", live=True))
    await desk.clock.sleep(30)
    assert not reading.done()
    desk.ledger.silent = False
    await desk.clock.sleep(3)
    assert reading.done()


async def test_pages_are_as_large_as_a_part_of_a_second_pays_for(desk: Desk) -> None:
    assert desk.budget.documents(1000, live=False) == 90  # ten units, at a tenth for a document
    assert desk.budget.documents(1000, live=True) == 20
    desk.budget.cost(201, 200)
    assert desk.budget.documents(1000, live=False) == 9
    desk.budget.cost(1.0, 0)
    for _ in range(50):
        desk.budget.cost(2, 1000)
    assert desk.budget.documents(1000, live=False) == 1000


async def test_a_range_that_waits_for_units_is_not_stalled(world: World) -> None:
    member = world.member("a")
    budget = Budget(ledger=FakeLedger(world.clock), per_second=1, clock=world.clock)
    budget.charge(400)
    booking = asyncio.ensure_future(budget.run())
    member.host._allowance = budget
    world.start_member(member)
    world.container.fill(20)
    await world.until(world.consistent, within_seconds=900)
    assert world.clock.monotonic() > 300
    assert not [what for what, _ in member.listener.heard if "stalled" in what]
    booking.cancel()
