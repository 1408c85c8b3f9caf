"""What happens in a history, one turn after the other, each chosen by the seed.

Shoppers write, operators act, something breaks; hosts and jobs go on beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from random import Random

from cosmos_emulator import Engine
from projector.core.errors import ProjectorError
from projector.core.start import BEGINNING, NOW, StartFrom, StartKind
from projector.ports.generations import GenerationRecord, GenerationState
from tests.simulation.bookmarks import Bookkeeper
from tests.simulation.catching_up import caught_up
from tests.simulation.database import cut
from tests.simulation.disasters import Disasters
from tests.simulation.generations import Rebuilders
from tests.simulation.hosts import SimulatedHost
from tests.simulation.judge import Judge
from tests.simulation.leases import Leases
from tests.simulation.loop import VirtualLoop, choose
from tests.simulation.operators import Operators
from tests.simulation.ports import Passage
from tests.simulation.readers import Reader
from tests.simulation.shop import Shop
from tests.simulation.trade import Trade
from tests.simulation.world import PROCESSOR, STRANGER, World, WrongError

JOB_SECONDS = 300.0

_TURNS: dict[str, float] = {
    "shop": 60,
    "wait": 12,
    "start": 5,
    "stop": 2,
    "crash": 2.5,
    "pause": 2,
    "trouble": 4,
    "calm": 4,
    "reset": 0.8,
    "reset_one": 0.8,
    "clear_token": 0.5,
    "delete_leases": 0.4,
    "delete_lease": 0.6,
    "cut_connections": 1.5,
    "purge": 2,
    "retry": 1.5,
    "verify": 0.7,
    "repair": 0.7,
    "copy_database": 0.8,
    "fail_over": 0.5,
    "lose_commits": 1.0,
    "lose_database": 0.1,
    "recreate_carts": 0.15,
    "follow": 0.5,
    "change_start": 0.7,
    "snapshot": 1.5,
    "restore": 1.5,
    "reset_to": 0.8,
    "job": 2.0,
    "remember": 4.0,
    "hold": 1.5,
}

REBUILDS: dict[str, float] = {
    "rebuild": 2.0,
    "promote": 2.5,
    "roll_back": 1.0,
    "abort": 0.4,
    "retire": 1.0,
    "bridge": 0.7,
    "expire_parts": 1.5,
    "plant": 0.3,
}
"""Turns that are about generations."""


class Turns:
    """One world, and the turns that it takes."""

    def __init__(
        self, *, seed: int, url: str, loop: VirtualLoop, turns: int, trade: Trade, rebuilds: float
    ) -> None:
        self._random = Random(seed)
        self.seed = seed
        self._loop = loop
        self._weights = _TURNS | {name: one * rebuilds for name, one in REBUILDS.items()}
        self._turns = turns
        engine = Engine(now=lambda: loop.now().timestamp(), rng=Random(seed), partitions=2)
        self._engine = engine
        self.world = World(engine=engine, random=self._random, loop=loop, url=url, trade=trade)
        self._hosts: list[SimulatedHost] = []
        self._jobs: list[asyncio.Task[None]] = []
        self._born = 0
        self._refusal_rate = 0.0
        self._start_from = self._random.choice([BEGINNING, BEGINNING, BEGINNING, NOW])
        self._shop = self.world.shop = Shop(engine, self._random, trade)
        self._disasters = Disasters(self.world, step=self._shop.step)
        self._leases = Leases(self.world)
        self.books = Bookkeeper(self.world, self._begin)
        self.rebuilders = Rebuilders(self.world, self._begin, self.books.files, self._live_on)
        self._operators = Operators(self.world, self._begin)
        self._judge = Judge(self.world, self._shop)
        self._reader = Reader(self.world, self._shop)
        self.world.look = self.read

    def read(self) -> None:
        """Somebody looks at the views, after each step."""
        wrong = self._reader.wrong(lambda one: self._judge.excused(one, self._start_from))
        if wrong:
            raise WrongError("reader", wrong)

    async def turn(self) -> None:
        name = choose(self._random, self._weights)
        if name == "shop":
            self._shop.step()
        else:
            others = (
                self._disasters,
                self._leases,
                self._operators,
                self.books,
                self.rebuilders,
                self._judge,
                self._reader,
            )
            deeds = (getattr(who, name, None) for who in others)
            told = await (next(filter(None, deeds), None) or getattr(self, f"_{name}"))()
            self._shop.story.append(f"{name}: {told}")
        if self._random.random() < 0.3:
            await asyncio.sleep(self._random.choice([0.001, 0.1, 1.0]))

    async def _live_on(self) -> None:
        """Shoppers write, now and then a host stands still, and somebody reads all the time."""
        for _ in range(self._random.randint(3, 10)):
            if self._hosts and self._random.random() < 0.2:
                self._random.choice(self._hosts).pause(self._random.choice([1, 5]))
            self._shop.step()
            await asyncio.sleep(self._random.choice([0.01, 0.3, 1.0]))
            self.read()

    async def _wait(self) -> str:
        seconds = self._random.choice([0.1, 1, 5, 20, 90])
        await asyncio.sleep(seconds)
        return f"{seconds} s"

    async def _start(self) -> str:
        if len(self._hosts) >= 3:
            return "enough hosts"
        # Now and then somebody starts a host under another name into the same target.
        return await self._start_host(STRANGER if self._random.random() < 0.05 else PROCESSOR)

    async def _start_host(self, processor: str = PROCESSOR) -> str:
        host = await self._make_host("host", processor)
        host.start()
        self._hosts.append(host)
        return f"{host.name} of {processor} from {host.start_from}"

    async def _make_host(self, kind: str, processor: str = PROCESSOR) -> SimulatedHost:
        self._born += 1
        host = SimulatedHost(
            name=f"{kind}-{self._born}",
            world=self.world,
            connections=await self.world.pool(),
            processor=processor,
            start_from=self._start_from,
        )
        host.passage.refusal_rate = self._refusal_rate
        return host

    async def _change_start(self) -> str:
        """Somebody changes the setting; hosts that run keep theirs."""
        ago = timedelta(seconds=self._random.choice([0, 10, 100]))
        self._start_from = self._random.choice(
            [BEGINNING, BEGINNING, NOW, StartFrom(kind=StartKind.TIME, time=self._loop.now() - ago)]
        )
        return str(self._start_from)

    async def _job(self) -> str:
        """Now and then the next one runs at once, under another START_FROM."""
        self.world.quiet = True
        try:
            told = await self._run_job()
            if self._random.random() < 0.5:
                await self._change_start()
                told += f", {await self._run_job()}"
        finally:
            self.world.quiet = False
        return told

    async def _run_job(self) -> str:
        """As `run --until-caught-up` while nobody writes: when it says so, SQL must be right.

        It reads for the generations that it has found at its start.
        """
        job = await self._make_host("job")
        self._hosts.append(job)
        job.start()
        found = [one for one in await self.world.fed() if one.state is not GenerationState.FILLING]
        try:
            async with asyncio.timeout(JOB_SECONDS):
                await job.wait_until_started()
                # Its ranges may be slow to open, and the verdict quick.
                job.pause(self._random.choice([0, 0, 1, 30]))
                judge = Passage(self._loop, self._random, f"{job.name}:judge")
                judge.refusal_rate = self._refusal_rate
                for record in found:
                    await self._caught_up(record, judge)
        except (TimeoutError, ProjectorError) as error:
            self._hosts.remove(job)
            await job.crash()
            return f"{job.name} from {self._start_from} gave up: {type(error).__name__}"
        self._hosts.remove(job)
        await job.stop()
        live = await self.world.live()
        spoiled = self.world.planted | self.world.partial
        if live.id not in {one.id for one in found} or live.id in spoiled:
            return f"{job.name} cannot know of generation {live.id}"
        wrong = self._judge.wrong(live, self._start_from, forgiven=True)
        if wrong:
            raise WrongError("job", [f"{job.name} from {self._start_from}", *wrong])
        return f"{job.name} from {self._start_from} caught up"

    async def _caught_up(self, record: GenerationRecord, passage: Passage) -> None:
        await caught_up(
            world=self.world,
            record=record,
            passage=passage,
            start_from=self._start_from,
            hosts=lambda: self._hosts,
        )

    async def _stop(self) -> str:
        host = self._pick()
        if host is None:
            return "nobody"
        await host.stop()
        return host.name

    async def _crash(self) -> str:
        host = self._pick()
        if host is None:
            return "nobody"
        await host.crash()
        return host.name

    async def _pause(self) -> str:
        if not self._hosts:
            return "nobody"
        host = self._random.choice(self._hosts)
        seconds = self._random.choice([1, 30, 100])
        host.pause(seconds)
        return f"{host.name} for {seconds} s"

    async def _trouble(self) -> str:
        return self._faults(self._random.choice([0.02, 0.1, 0.3]))

    async def _calm(self) -> str:
        return self._faults(0.0)

    def _faults(self, rate: float) -> str:
        self._refusal_rate = rate
        for host in self._hosts:
            host.passage.refusal_rate = rate
        return f"rate {rate}"

    def _begin(self, passage: Passage, work: Callable[[], Awaitable[object]]) -> str:
        """Begin a job beside the hosts; an outage may end it, nothing else."""
        passage.refusal_rate = self._refusal_rate

        async def run() -> None:
            with suppress(ProjectorError):
                await work()

        self._jobs.append(self._loop.create_task(run(), name=passage.name))
        return passage.name

    async def _cut_connections(self) -> str:
        cut(self.world.url)
        return "all"

    def _pick(self) -> SimulatedHost | None:
        if not self._hosts:
            return None
        return self._hosts.pop(self._random.randrange(len(self._hosts)))
