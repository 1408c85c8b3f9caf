"""One random history from one seed, then quiet, then the comparison with the container.

A history mixes what shoppers write, what operators do and what breaks. At its end faults stop, one
host drains, and SQL must equal the container but for documents that ended unseen; then all
leases are reset, and SQL must equal the container exactly.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from cosmos_emulator import Engine
from projector.core.errors import ProjectorError
from projector.core.start import BEGINNING, NOW, StartFrom, StartKind
from projector.postgres.connections import ConnectionOptions, Connections
from tests.simulation.bookmarks import Bookkeeper
from tests.simulation.catching_up import caught_up
from tests.simulation.database import cut
from tests.simulation.disasters import Disasters, create_leases, create_source
from tests.simulation.hosts import PROCESSOR, STRANGER, SimulatedHost
from tests.simulation.judge import Judge
from tests.simulation.leases import Leases
from tests.simulation.loop import VirtualLoop, choose, run_virtual
from tests.simulation.operators import Operator, Operators
from tests.simulation.ports import (
    DATABASE,
    Passage,
)
from tests.simulation.shop import Shop
from tests.simulation.trade import CART_LINES, Trade

PATIENCE_SECONDS = 3600.0
JOB_SECONDS = 300.0
SESSIONS = 24

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
    "promote": 1.0,
    "lose_database": 0.1,
    "recreate_carts": 0.15,
    "follow": 0.5,
    "change_start": 0.7,
    "snapshot": 1.5,
    "restore": 1.5,
    "reset_to": 0.8,
    "job": 2.0,
    "remember": 4.0,
}


class SaidCaughtUpError(Exception):
    """A job ended well although SQL is wrong."""

    def __init__(self, wrong: list[str]) -> None:
        super().__init__(wrong)
        self.wrong = wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """A history after which SQL was wrong; `story` tells it, `wrong` says how."""

    seed: int
    phase: str
    wrong: tuple[str, ...]
    story: tuple[str, ...]


class History:
    """Plays one seed against one database."""

    def __init__(self, *, seed: int, url: str, loop: VirtualLoop, turns: int, trade: Trade) -> None:
        self._random = Random(seed)
        self.seed = seed
        self._url = url
        self._loop = loop
        self._turns = turns
        self._trade = trade
        self._engine = Engine(now=lambda: loop.now().timestamp(), rng=Random(seed), partitions=2)
        self._hosts: list[SimulatedHost] = []
        self._pools: list[Connections] = []
        self._jobs: list[asyncio.Task[None]] = []
        self._born = 0
        self._refusal_rate = 0.0
        self._start_from = self._random.choice([BEGINNING, BEGINNING, BEGINNING, NOW])
        self._shop = Shop(self._engine, self._random, trade)
        self._disasters = Disasters(
            engine=self._engine,
            random=self._random,
            loop=loop,
            url=url,
            step=self._shop.step,
            trade=trade,
        )
        self._leases = Leases(engine=self._engine, random=self._random, loop=loop, url=url)
        self.books = Bookkeeper(
            engine=self._engine, random=self._random, loop=loop, pool=self._pool, begin=self._begin
        )
        self._operators = Operators(
            engine=self._engine,
            random=self._random,
            loop=loop,
            trade=trade,
            pool=self._pool,
            begin=self._begin,
        )
        self._judge = Judge(engine=self._engine, shop=self._shop, loop=loop, url=url, trade=trade)

    async def play(self) -> Divergence | None:
        self._engine.create_database(DATABASE)
        create_source(self._engine, self._random, self._trade)
        create_leases(self._engine)
        try:
            for _ in range(self._turns):
                await self._turn()
            found = await self._quiet("history", forgiven=True)
            if found is None and self._random.random() < 0.5:
                return await self._after_repair()
            return found or await self._after_reset()
        except SaidCaughtUpError as error:
            return self._divergence("job", error.wrong)
        except Exception as error:  # noqa: BLE001 - whatever escapes belongs to this seed's story
            return self._divergence("escaped", traceback.format_exception(error))
        finally:
            for host in self._hosts:
                await host.crash()
            for job in self._jobs:
                job.cancel()
            await asyncio.gather(*self._jobs, return_exceptions=True)
            for pool in self._pools:
                await pool.close()

    async def _turn(self) -> None:
        name = choose(self._random, _TURNS)
        if name == "shop":
            self._shop.step()
        else:
            others = self._disasters, self._leases, self._operators, self.books, self._judge
            deeds = (getattr(who, name, None) for who in others)
            told = await (next(filter(None, deeds), None) or getattr(self, f"_{name}"))()
            self._shop.story.append(f"{name}: {told}")
        if self._random.random() < 0.3:
            await asyncio.sleep(self._random.choice([0.001, 0.1, 1.0]))

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
        pool = await self._pool()
        host = SimulatedHost(
            trade=self._trade,
            name=f"{kind}-{self._born}",
            loop=self._loop,
            engine=self._engine,
            connections=pool,
            random=self._random,
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
        told = await self._run_job()
        if self._random.random() < 0.5:
            await self._change_start()
            told += f", {await self._run_job()}"
        return told

    async def _run_job(self) -> str:
        """As `run --until-caught-up` while nobody writes: when it says so, SQL must be right."""
        job = await self._make_host("job")
        self._hosts.append(job)
        job.start()
        try:
            async with asyncio.timeout(JOB_SECONDS):
                await job.host.wait_until_started()
                # Its ranges may be slow to open, and the verdict quick.
                job.pause(self._random.choice([0, 0, 1, 30]))
                judge = Passage(self._loop, self._random, f"{job.name}:judge")
                judge.refusal_rate = self._refusal_rate
                await self._caught_up(judge)
        except (TimeoutError, ProjectorError) as error:
            self._hosts.remove(job)
            await job.crash()
            return f"{job.name} from {self._start_from} gave up: {type(error).__name__}"
        self._hosts.remove(job)
        await job.stop()
        wrong = self._judge.wrong(self._start_from, forgiven=True)
        if wrong:
            raise SaidCaughtUpError([f"{job.name} from {self._start_from}", *wrong])
        return f"{job.name} from {self._start_from} caught up"

    async def _caught_up(self, passage: Passage) -> None:
        await caught_up(
            engine=self._engine,
            loop=self._loop,
            pool=await self._pool(),
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

    async def _pool(self) -> Connections:
        """One pool for all hosts: to plan the statements on each connection is what costs."""
        if not self._pools:
            pool = Connections(ConnectionOptions(url=self._url, connections=SESSIONS))
            with self._loop.real_io():
                await pool.open()
            self._pools.append(pool)
        return self._pools[0]

    async def _cut_connections(self) -> str:
        cut(self._url)
        return "all"

    def _pick(self) -> SimulatedHost | None:
        if not self._hosts:
            return None
        return self._hosts.pop(self._random.randrange(len(self._hosts)))

    async def _quiet(self, phase: str, *, forgiven: bool) -> Divergence | None:
        """Faults stop, somebody runs from the beginning, everything drains; then compare."""
        self._faults(0.0)
        self._shop.take_back()
        self._start_from = BEGINNING
        self._shop.story.append(f"follow at last: {await self._disasters.follow()}")
        for host in self._hosts:
            host.passage.paused_until = 0.0
            if not self._fits(host):
                await host.crash()
        self._hosts = [host for host in self._hosts if self._fits(host)]
        if not self._hosts:
            await self._start_host()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._caught_up(Passage(self._loop, Random(0), "judge"))
                await asyncio.gather(*self._jobs)
        except TimeoutError:
            return self._divergence(phase, ["did not catch up", *self._condition()])
        failed = [f"{h.name} ended: {h.failure!r}" for h in self._hosts if h.failure]
        wrong = failed + self._judge.wrong(self._start_from, forgiven=forgiven)
        return self._divergence(phase, wrong) if wrong else None

    def _fits(self, host: SimulatedHost) -> bool:
        return host.is_of(self._shop.container.rid) and host.start_from == self._start_from

    async def _after_repair(self) -> Divergence | None:
        """Verify mends what a reset would, and then finds nothing more."""
        self._shop.story.append("final repair")
        self._engine.purge()
        pool = Connections(ConnectionOptions(url=self._url, connections=4))
        self._pools.append(pool)
        with self._loop.real_io():
            await pool.open()
        operator = Operator(
            trade=self._trade,
            loop=self._loop,
            engine=self._engine,
            connections=pool,
            random=self._random,
            name="final",
        )
        first = await operator.verify(repair=True)
        second = await operator.verify(repair=False)
        found = await self._quiet("repair", forgiven=False)
        if found is None and not (first.consistent and second.consistent):
            return self._divergence("verify", [str(first), str(second)])
        return found

    async def _after_reset(self) -> Divergence | None:
        # Nothing may expire between the drain and the comparison: let it happen before.
        await self._leases.reset()
        self._shop.story.append("final reset")
        found = await self._quiet("reset", forgiven=False)
        if found is None or not any(line.startswith("extra") for line in found.wrong):
            return found
        await self._leases.reset()
        return await self._quiet("second reset", forgiven=False)

    def _divergence(self, phase: str, wrong: list[str]) -> Divergence:
        return Divergence(
            seed=self.seed, phase=phase, wrong=tuple(wrong), story=tuple(self._shop.story)
        )

    def _condition(self) -> list[str]:
        reports = [report for host in self._hosts for report in host.host.reports()]
        return [f"{r.lease_token} {r.owner} {r.state} {r.failure}" for r in reports] + [
            f"{h.name} {h.failure!r}" for h in self._hosts
        ]


def play(seed: int, url: str, *, turns: int = 60, trade: Trade = CART_LINES) -> Divergence | None:
    """Play one seed on a migrated, empty database."""
    return run_virtual(
        Random(seed ^ 0x5EED),
        lambda loop: History(seed=seed, url=url, loop=loop, turns=turns, trade=trade).play(),
    )
