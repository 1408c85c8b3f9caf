"""One random history from one seed, then quiet, then the comparison with the container.

A history mixes what shoppers write, what operators do and what breaks; after each turn somebody reads the
views. At its end faults stop, hosts drain, and every generation must equal the container but for documents
that ended unseen; perhaps another one is made live; then all is repaired, or all leases are reset, and
SQL must equal the container exactly.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from dataclasses import dataclass
from random import Random

from projector.core.start import BEGINNING
from projector.operations.generations import being_made, former_of
from projector.ports.generations import GenerationState
from tests.simulation.disasters import create_leases, create_source
from tests.simulation.generations import mended, own_patience
from tests.simulation.hosts import SimulatedHost
from tests.simulation.loop import VirtualLoop, run_virtual
from tests.simulation.operators import operator_of
from tests.simulation.ports import DATABASE, Passage
from tests.simulation.trade import CART_LINES, Trade
from tests.simulation.turns import Turns
from tests.simulation.world import WrongError

PATIENCE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """A history after which SQL was wrong; `story` tells it, `wrong` says how."""

    seed: int
    phase: str
    wrong: tuple[str, ...]
    story: tuple[str, ...]


class History(Turns):
    """Plays one seed against one database."""

    async def play(self) -> Divergence | None:
        """All of it; whatever escapes belongs to this seed's story."""
        try:
            return await self._play()
        except WrongError as error:
            return self._divergence(error.phase, error.wrong)
        except Exception as error:  # noqa: BLE001
            return self._divergence("escaped", traceback.format_exception(error))
        finally:
            for host in self._hosts:
                await host.crash()
            for job in self._jobs:
                job.cancel()
            await asyncio.gather(*self._jobs, return_exceptions=True)
            self._reader.close()
            await self.world.close()

    async def _play(self) -> Divergence | None:
        self._engine.create_database(DATABASE)
        create_source(self._engine, self._random, self.world.trade)
        create_leases(self._engine)
        for _ in range(self._turns):
            await self.turn()
            self.read()
        found = await self._quiet("history", forgiven=True)
        if found is None and self._random.random() < 0.8:
            found = await self._switched()
        if found is None and self._random.random() < 0.5:
            return await self._after_repair()
        return found or await self._after_reset()

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
        await self.rebuilders.expire_parts()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.gather(*self._jobs)
                await self._all_caught_up()
                await mended(self.world)
        except TimeoutError:
            return self._divergence(phase, ["did not catch up", *await self._condition()])
        failed = [f"{h.name} ended: {h.failure!r}" for h in self._hosts if h.failure]
        wrong = failed + await self._wrong(forgiven=forgiven)
        self.read()
        return self._divergence(phase, wrong) if wrong else None

    async def _all_caught_up(self) -> None:
        """Every generation that is fed, once it is loaded."""
        while any(one.state is GenerationState.FILLING for one in await self.world.fed()):
            for _ in range(60):
                await asyncio.sleep(1.0)
            # What a lost commit has given back to nobody would lapse: by PostgreSQL's clock, which stands still.
            await self.rebuilders.expire_parts()
        for record in await self.world.fed():
            await self._caught_up(record, Passage(self._loop, Random(0), "judge"))

    async def _wrong(self, *, forgiven: bool) -> list[str]:
        """What is wrong in any generation; only what readers see was replayed or repaired."""
        return [
            line
            for one in await self.world.fed()
            if one.id not in self.world.partial
            for line in self._judge.wrong(
                one,
                self._start_from,
                forgiven=forgiven or one.state is not GenerationState.LIVE,
            )
        ]

    def _fits(self, host: SimulatedHost) -> bool:
        of_today = host.is_of(self._shop.container.rid) and host.start_from == self._start_from
        return of_today and not host.begins_anew

    async def _switched(self) -> Divergence | None:
        """Whatever can be made live at last is, and is as current as the one that was."""
        records = await self.world.records()
        to = being_made(records) or former_of(records)
        if to is None:
            return None
        back = to.state is GenerationState.FORMER
        self._shop.story.append(f"{'roll back' if back else 'promote'} at last")
        await self.rebuilders.switch_at_last(back=back)
        await asyncio.gather(*self._jobs)
        if back and (await self.world.live()).id != to.id:
            return self._divergence("rollback", [f"nothing was rolled back: {records}"])
        await self._all_caught_up()
        await mended(self.world)
        self.read()
        wrong = await self._wrong(forgiven=True)
        return self._divergence("switch", wrong) if wrong else None

    async def _after_repair(self) -> Divergence | None:
        """Verify mends what a reset would, and then finds nothing more."""
        self._shop.story.append("final repair")
        self._engine.purge()
        operator = await operator_of(self.world, await self.world.live(), "final")
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

    async def _condition(self) -> list[str]:
        reports = [report for host in self._hosts for report in host.reports()]
        return [
            *(f"{r.lease_token} {r.owner} {r.state} {r.failure}" for r in reports),
            *(f"{h.name} {h.failure!r}" for h in self._hosts),
            *(f"generation {one.id}: {one.state}" for one in await self.world.fed()),
        ]


def play(
    seed: int,
    url: str,
    *,
    turns: int = 60,
    trade: Trade = CART_LINES,
    rebuilds: float = 1.0,
    done: Counter[str] | None = None,
) -> Divergence | None:
    """Play one seed on a database as it was prepared.

    `rebuilds` weighs their turns; `done` is told what came of them, and of commands on bookmarks.
    """

    async def main(loop: VirtualLoop) -> Divergence | None:
        history = History(
            seed=seed, url=url, loop=loop, turns=turns, trade=trade, rebuilds=rebuilds
        )
        found = await history.play()
        if done is not None:
            done.update(history.rebuilders.done)
            done.update(history.books.done)
        return found

    with own_patience():
        return run_virtual(Random(seed ^ 0x5EED), main)
