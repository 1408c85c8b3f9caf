"""Bookmarks saved and put back beside the hosts: the code of the commands, every call behind a gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from projector.core.bookmarks import Move, Snapshot
from projector.core.ranges import FeedRange
from projector.operations.bookmarks import (
    BackSides,
    prepared_reset_to,
    prepared_restore,
)
from projector.operations.leases import Sides, chosen
from projector.ports.copy import CopiedSource, TargetIdentity
from projector.ports.ranges import StoredRange
from projector.ports.timeline import Kind
from projector.postgres import bookmarks
from projector.postgres.connections import Connections
from projector.postgres.ranges import stored_ranges
from projector.postgres.source import copied_source
from tests.simulation.loop import VirtualClock
from tests.simulation.ports import CART, DATABASE, Passage, SimulatedLeases, SimulatedSource
from tests.simulation.world import IDENTITY, Begin, World, lost, prefix_of, processor_of

TARGET = TargetIdentity(id="simulated", name="simulated")
BEFORE = "before-reset-"


class Bookkeeper:
    """A person with commands in one world; `done` counts those that were carried through."""

    def __init__(self, world: World, begin: Begin) -> None:
        """Start each command with `begin`, beside whatever runs."""
        self._world, self._begin = world, begin
        self._born = 0
        self.files: list[Snapshot] = []
        self.done: Counter[str] = Counter()

    async def snapshot(self) -> str:
        """As `projector leases snapshot`."""
        return self._run(await self._command("snapshot"), Command.snapshot)

    async def restore(self) -> str:
        """As `projector leases restore`, perhaps of one lease."""
        return self._run(await self._command("restore"), Command.restore)

    async def reset_to(self) -> str:
        """As `projector leases reset --to`, perhaps of one lease."""
        return self._run(await self._command("reset_to"), Command.reset_to)

    def _run(self, command: Command, work: Callable[[Command], Awaitable[None]]) -> str:
        async def run() -> None:
            await work(command)
            self.done[command.passage.name.partition("-")[0]] += 1
            if command.undone:
                self.done["reset taken back"] += 1

        return self._begin(command.passage, run)

    async def _command(self, what: str) -> Command:
        self._born += 1
        live = await self._world.live()
        return Command(
            world=self._world,
            connections=await self._world.pool(live.control),
            processor=processor_of(live.id),
            passage=Passage(self._world.loop, self._world.random, f"{what}-{self._born}"),
            files=self.files,
        )


class Command:
    """One command; what was saved goes into `files`, too, which outlive the database."""

    def __init__(
        self,
        *,
        world: World,
        connections: Connections,
        processor: str,
        passage: Passage,
        files: list[Snapshot],
    ) -> None:
        self.passage = passage
        self._world, self._loop, self._random = world, world.loop, world.random
        self._connections, self._processor = connections, processor
        self._files = files
        self.undone = False

    async def snapshot(self) -> None:
        """Save where all ranges stand, under a name, in a file, or both."""
        name = f"at-{self._random.randrange(4)}"

        async def act() -> Snapshot:
            now = self._loop.now()
            return await bookmarks.take(self._connections, TARGET, name=name, now=now)

        taken = await self.passage.cross("snapshot", lost, act)
        if self._random.random() < 0.5:
            self._files.append(taken)
        await self.passage.cross(
            "keep", lost, lambda: bookmarks.keep(self._connections, taken, over=True)
        )

    async def restore(self) -> None:
        """Put back one that was saved."""
        to = await self._some()
        if to is None:
            return
        sides = await self._sides((Kind.SNAPSHOT_RESTORED, to.name))
        going = await prepared_restore(
            sides, to, token=await self._token(sides), from_file=self._random.random() < 0.5
        )
        await going.carry_out()
        self.undone = any(move.undoes for move in going.moves)

    async def reset_to(self) -> None:
        """Read again what was changed since some time."""
        time = self._loop.now() - timedelta(seconds=self._random.choice([1, 10, 100, 1000]))
        sides = await self._sides((Kind.RESET, ""))
        going = await prepared_reset_to(sides, time, token=await self._token(sides))
        await going.carry_out()

    async def _some(self) -> Snapshot | None:
        if self._files and self._random.random() < 0.5:
            return self._random.choice(self._files)
        found = await self.passage.cross("kept", lost, lambda: bookmarks.kept(self._connections))
        if not found:
            await self.snapshot()
            return self._files[-1] if self._files else None
        before = [one for one in found if one.name.startswith(BEFORE)]
        if before and self._random.random() < 0.3:  # a reset was a mistake
            found = before[-1:]
        name = self._random.choice(found).name
        return await self.passage.cross(
            "find", lost, lambda: bookmarks.find(self._connections, name)
        )

    async def _token(self, sides: BackSides) -> str | None:
        leases = await sides.both.leases.list_leases()
        if not leases or self._random.random() < 0.6:
            return None
        return self._random.choice(chosen(leases, None)).token

    async def _sides(self, told: tuple[Kind, str]) -> BackSides:
        engine, passage, random = self._world.engine, self.passage, self._random
        clock, rid = VirtualClock(self._loop), engine.container(DATABASE, CART).rid

        async def found() -> CopiedSource | None:
            async with self._connections.session() as session:
                return await copied_source(session)

        async def stored() -> Sequence[StoredRange]:
            async def act() -> Sequence[StoredRange]:
                async with self._connections.session() as session:
                    return await stored_ranges(session, container_rid=rid, retired=True)

            return await passage.cross("stored", lost, act)

        async def go_back(to: Snapshot, keys: Sequence[FeedRange] | None) -> Sequence[Move]:
            return await passage.cross(
                "go_back",
                lost,
                lambda: bookmarks.go_back(
                    self._connections, rid, to, keys, told=told, actor="somebody"
                ),
            )

        both = Sides(
            leases=SimulatedLeases(
                engine, passage, prefix=prefix_of(engine, self._processor), clock=clock
            ),
            source=SimulatedSource(engine, passage, random),
            clock=clock,
            expiration_seconds=60.0,
            found=await passage.cross("copied", lost, found),
            target=TARGET,
            rid=rid,
            identity=IDENTITY,
        )
        return BackSides(both=both, stored=stored, go_back=go_back)
