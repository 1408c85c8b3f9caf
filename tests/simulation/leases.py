"""What operators do to the leases: reset them by the command or by hand, delete some or all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from cosmos_emulator import Engine
from cosmos_emulator.errors import EmulatorError
from projector.core import lease as lease_changes
from projector.core.errors import SourceRecreated
from projector.cosmos.lease_documents import document_of, lease_of
from projector.ports.generations import GenerationRecord
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.resets import request_replay
from tests.simulation.bookmarks import BEFORE, TARGET
from tests.simulation.disasters import create_leases
from tests.simulation.ports import CART, DATABASE, LEASE
from tests.simulation.world import ACCOUNT, World


def lease_documents(engine: Engine) -> list[dict[str, Any]]:
    """The leases of every processor, as stored."""
    found = engine.container(DATABASE, LEASE).documents()
    return [d for d in (json.loads(item.body) for item in found) if "LeaseToken" in d]


def _of(record: GenerationRecord, documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of that generation, whoever copies into it."""
    name = f"@g{record.id}{ACCOUNT}"
    return [d for d in documents if (name in d["id"] if record.id > 1 else "@g" not in d["id"])]


class Leases:
    """Deeds on the leases of one world; each tells what it did."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._engine, self._random, self._loop = world.engine, world.random, world.loop
        self._resets = 0

    async def reset(self) -> str:
        """All of them, as `projector leases reset`."""
        return await self._reset_ranges(None)

    async def reset_one(self) -> str:
        """One, as `projector leases reset --range`."""
        documents = _of(await self._world.live(), lease_documents(self._engine))
        if not documents:
            return "no leases"
        return await self._reset_ranges(self._random.choice(documents)["LeaseToken"])

    async def _reset_ranges(self, token: str | None) -> str:
        """Those of the live generation: PostgreSQL first, then the leases."""
        live = await self._world.live()
        documents = _of(live, lease_documents(self._engine))
        chosen = [lease_of(d) for d in documents if token in {None, d["LeaseToken"]}]
        ranges = None if token is None else [c.feed_range for c in chosen if c.feed_range]
        with self._loop.real_io():
            options = ConnectionOptions(url=self._world.url, connections=1, control=live.control)
            async with Connections(options) as pool:
                try:
                    rid = self._engine.container(DATABASE, CART).rid
                    self._resets += 1
                    kept = f"{BEFORE}{self._resets}", TARGET
                    await request_replay(pool, rid, ranges, keep_as=kept)
                except SourceRecreated:
                    return "refused: another container is copied"
        if self._random.random() < 0.2:
            return f"{token or 'all'}, interrupted between PostgreSQL and leases"
        for lease in chosen:
            self._write(document_of(lease_changes.reset(lease, now=self._loop.now())))
        return token or "all"

    async def clear_token(self) -> str:
        """By hand, beside whoever holds the lease."""
        document = self._some()
        if document is None:
            return "no leases"
        self._write({**document, "ContinuationToken": None})
        return str(document["LeaseToken"])

    async def delete_leases(self) -> str:
        """With their container."""
        self._engine.delete_container(DATABASE, LEASE)
        create_leases(self._engine)
        return "lease container recreated"

    async def delete_lease(self) -> str:
        """One, by hand."""
        document = self._some()
        if document is None:
            return "no leases"
        self._engine.container(DATABASE, LEASE).delete(document["id"], document["id"])
        return str(document["LeaseToken"])

    def _some(self) -> dict[str, Any] | None:
        documents = lease_documents(self._engine)
        return self._random.choice(documents) if documents else None

    def _write(self, document: dict[str, Any]) -> None:
        with suppress(EmulatorError):  # it may be gone meanwhile
            self._engine.container(DATABASE, LEASE).replace(document["id"], document)
