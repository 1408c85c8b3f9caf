"""One random history from one seed, then quiet, then the comparison with the container.

A history mixes what shoppers write, what operators do and what breaks. At its end faults stop, one
host drains, and SQL must equal the container but for documents that ended unseen; then all
leases are reset, and SQL must equal the container exactly.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import psycopg

from projector.core import lease as lease_changes
from projector.core.errors import ProjectorError, SourceRecreated
from projector.cosmos.lease_documents import document_of, lease_of
from projector.emulator import Engine
from projector.emulator.errors import EmulatorError
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.resets import request_replay
from tests.simulation.catching_up import caught_up
from tests.simulation.database import cut
from tests.simulation.disasters import Disasters, create_carts, create_leases
from tests.simulation.hosts import PROCESSOR, STRANGER, SimulatedHost
from tests.simulation.loop import VirtualLoop, choose, run_virtual
from tests.simulation.operators import Operator
from tests.simulation.oracle import differences
from tests.simulation.ports import (
    CART,
    DATABASE,
    LEASE,
)
from tests.simulation.shop import Shop

PATIENCE_SECONDS = 3600.0
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
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """A history after which SQL was wrong; `story` tells it, `wrong` says how."""

    seed: int
    phase: str
    wrong: tuple[str, ...]
    story: tuple[str, ...]


class History:
    """Plays one seed against one database."""

    def __init__(self, *, seed: int, url: str, loop: VirtualLoop, turns: int) -> None:
        self._random = Random(seed)
        self.seed = seed
        self._url = url
        self._loop = loop
        self._turns = turns
        self._engine = Engine(now=lambda: loop.now().timestamp(), rng=Random(seed), partitions=2)
        self._hosts: list[SimulatedHost] = []
        self._pools: list[Connections] = []
        self._jobs: list[asyncio.Task[None]] = []
        self._born = 0
        self._refusal_rate = 0.0
        self._shop = Shop(self._engine, self._random)
        self._disasters = Disasters(
            engine=self._engine,
            random=self._random,
            loop=loop,
            url=url,
            step=self._shop.step,
        )

    async def play(self) -> Divergence | None:
        self._engine.create_database(DATABASE)
        create_carts(self._engine, self._random)
        create_leases(self._engine)
        try:
            for _ in range(self._turns):
                await self._turn()
            found = await self._quiet("history", forgiven=True)
            if found is None and self._random.random() < 0.5:
                return await self._after_repair()
            return found or await self._after_reset()
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
            act = getattr(self._disasters, name, None)
            told = await (act or getattr(self, f"_{name}"))()
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
        self._born += 1
        pool = await self._pool()
        host = SimulatedHost(
            name=f"host-{self._born}",
            loop=self._loop,
            engine=self._engine,
            connections=pool,
            random=self._random,
            processor=processor,
        )
        host.passage.refusal_rate = self._refusal_rate
        host.start()
        self._hosts.append(host)
        return f"{host.name} of {processor}"

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

    async def _reset(self) -> str:
        return await self._reset_ranges(None)

    async def _reset_one(self) -> str:
        tokens = [item["LeaseToken"] for item in self._lease_documents()]
        return await self._reset_ranges(self._random.choice(tokens)) if tokens else "no leases"

    async def _reset_ranges(self, token: str | None) -> str:
        """As `projector leases reset`: PostgreSQL first, then the leases."""
        chosen = [lease_of(d) for d in self._lease_documents() if token in {None, d["LeaseToken"]}]
        ranges = None if token is None else [c.feed_range for c in chosen if c.feed_range]
        with self._loop.real_io():
            async with self._fresh_pool(1) as pool:
                try:
                    await request_replay(pool, self._rid, ranges)
                except SourceRecreated:
                    return "refused: another container is copied"
        if self._random.random() < 0.2:
            return f"{token or 'all'}, interrupted between PostgreSQL and leases"
        for lease in chosen:
            self._write_lease(document_of(lease_changes.reset(lease, now=self._loop.now())))
        return token or "all"

    def _fresh_pool(self, connections: int) -> Connections:
        """What a command has for itself; those of the hosts may have been cut off."""
        return Connections(ConnectionOptions(url=self._url, connections=connections))

    async def _clear_token(self) -> str:
        documents = self._lease_documents()
        if not documents:
            return "no leases"
        document = self._random.choice(documents)
        self._write_lease({**document, "ContinuationToken": None})
        return str(document["LeaseToken"])

    async def _delete_leases(self) -> str:
        self._engine.delete_container(DATABASE, LEASE)
        create_leases(self._engine)
        return "lease container recreated"

    async def _delete_lease(self) -> str:
        documents = self._lease_documents()
        if not documents:
            return "no leases"
        document = self._random.choice(documents)
        self._engine.container(DATABASE, LEASE).delete(document["id"], document["id"])
        return str(document["LeaseToken"])

    async def _purge(self) -> str:
        return await self._operate("purge", lambda operator: operator.purge())

    async def _retry(self) -> str:
        return await self._operate("retry", lambda operator: operator.retry())

    async def _verify(self) -> str:
        return await self._operate("verify", lambda operator: operator.verify(repair=False))

    async def _repair(self) -> str:
        return await self._operate("repair", lambda operator: operator.verify(repair=True))

    async def _operate(self, job: str, work: Callable[[Operator], Awaitable[object]]) -> str:
        """Begin a job beside the hosts; an outage may end it, nothing else."""
        self._born += 1
        operator = Operator(
            loop=self._loop,
            engine=self._engine,
            connections=await self._pool(),
            random=self._random,
            name=f"{job}-{self._born}",
        )
        operator.passage.refusal_rate = self._refusal_rate

        async def run() -> None:
            with suppress(ProjectorError):
                await work(operator)

        self._jobs.append(self._loop.create_task(run(), name=operator.passage.name))
        return operator.passage.name

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

    @property
    def _rid(self) -> str:
        return self._engine.container(DATABASE, CART).rid

    def _lease_documents(self) -> list[dict[str, Any]]:
        found = self._engine.container(DATABASE, LEASE).documents()
        return [d for d in (json.loads(item.body) for item in found) if "LeaseToken" in d]

    def _write_lease(self, document: dict[str, Any]) -> None:
        try:
            self._engine.container(DATABASE, LEASE).replace(document["id"], document)
        except EmulatorError as error:
            self._shop.story.append(f"lease write refused {error.status}")

    async def _quiet(self, phase: str, *, forgiven: bool) -> Divergence | None:
        """Faults stop, somebody runs, everything drains; then compare."""
        self._faults(0.0)
        self._shop.story.append(f"follow at last: {await self._disasters.follow()}")
        for host in self._hosts:
            host.passage.paused_until = 0.0
            if not host.is_of(self._rid):
                await host.crash()
        self._hosts = [host for host in self._hosts if host.is_of(self._rid)]
        if not self._hosts:
            await self._start_host()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await caught_up(self._engine, self._loop, self._url)
                await asyncio.gather(*self._jobs)
        except TimeoutError:
            return self._divergence(phase, ["did not catch up", *self._condition()])
        failed = [f"{h.name} ended: {h.failure!r}" for h in self._hosts if h.failure]
        with psycopg.connect(self._url, autocommit=True) as connection:
            wrong = failed + differences(
                self._shop.container,
                connection,
                forgiven=self._shop.unseen_ends if forgiven else (),
                hidden=self._shop.hidden() if forgiven else (),
            )
        return self._divergence(phase, wrong) if wrong else None

    async def _after_repair(self) -> Divergence | None:
        """Verify mends what a reset would, and then finds nothing more."""
        self._shop.story.append("final repair")
        self._engine.purge()
        pool = self._fresh_pool(4)
        self._pools.append(pool)
        with self._loop.real_io():
            await pool.open()
        operator = Operator(
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
        await self._reset_ranges(None)
        self._shop.story.append("final reset")
        found = await self._quiet("reset", forgiven=False)
        if found is None or not any(line.startswith("extra") for line in found.wrong):
            return found
        await self._reset_ranges(None)
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


def play(seed: int, url: str, *, turns: int = 60) -> Divergence | None:
    """Play one seed on a migrated, empty database."""
    return run_virtual(
        Random(seed ^ 0x5EED),
        lambda loop: History(seed=seed, url=url, loop=loop, turns=turns).play(),
    )


__all__ = ["Divergence", "play"]
