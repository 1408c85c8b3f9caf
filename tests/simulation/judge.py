"""Whether SQL equals the container, with the excuses that the contract allows and no other.

What it says of the times at which it was looked at before is looked at as well, and so are the generations
that nobody reads: they are fed as the live one is, and one may go back to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg

from cosmos_emulator.documents import ItemKey
from projector.core.lease import START_FROM_PROPERTY
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.start import BEGINNING, NOW, StartFrom
from projector.cosmos.lease_documents import lease_of
from projector.ports.generations import GenerationRecord, GenerationState
from projector.postgres.generations import generation_of
from projector.postgres.views import views_of
from tests.simulation.catching_up import start_of
from tests.simulation.leases import lease_documents
from tests.simulation.oracle import differences
from tests.simulation.past import Past
from tests.simulation.shop import Shop
from tests.simulation.world import World, prefix_of, processor_of

CLOCK_SECONDS = 100
"""The service's clock may be that far from ours."""

ASIDE = "simulated_look"


class Judge:
    """Compares one world."""

    def __init__(self, world: World, shop: Shop) -> None:
        self._world, self._shop = world, shop
        self._past = Past(world.trade)

    def wrong(
        self, record: GenerationRecord, start_from: StartFrom, *, forgiven: bool
    ) -> list[str]:
        """What is wrong in that generation under that setting, one line each.

        `forgiven` are documents that ended, or that a restore hid, since the last replay.
        """
        live = record.state is GenerationState.LIVE
        late = self._late(record.id, start_from)
        hidden = self._hidden(late)
        with psycopg.connect(self._world.url, autocommit=True) as connection:
            past = self._past.wrong(connection) if live else []
            with _shown(connection, record) as schema:
                found = differences(
                    self._shop.container,
                    connection,
                    trade=self._world.trade,
                    schema=schema,
                    forgiven=self._shop.unseen_ends if forgiven else (),
                    hidden=hidden | (self._shop.hidden() if forgiven else set()),
                    unswept=[keys for keys, _ in late] if forgiven else (),
                )
        told = "" if live else f"generation {record.id}: "
        return [*past, *(told + line for line in found)]

    def excused(self, generation: int, start_from: StartFrom) -> set[ItemKey]:
        """Documents that it may lack, since it did not begin at the beginning."""
        return self._hidden(self._late(generation, start_from))

    async def remember(self) -> str:
        """Note the rows of this moment, to be asked for later."""
        with psycopg.connect(self._world.url, autocommit=True) as connection:
            return self._past.note(connection)

    def _hidden(self, late: list[tuple[FeedRange, datetime]]) -> set[ItemKey]:
        return {
            document.key
            for keys, since in late
            for document in self._shop.container.documents(keys.min, keys.max)
            if document.ts < since.timestamp() + CLOCK_SECONDS
        }

    def _late(self, generation: int, start_from: StartFrom) -> list[tuple[FeedRange, datetime]]:
        """Ranges that did not begin at the beginning, and since when they were read.

        One that was only anchored under another START_FROM is no excuse under this one.
        """
        engine, now = self._world.engine, str(start_of(generation, start_from))
        prefix = f"{prefix_of(engine, processor_of(generation))}.."
        late = []
        for lease in map(lease_of, lease_documents(engine)):
            start = lease.properties.get(START_FROM_PROPERTY, str(BEGINNING))
            outdated = lease.anchored_from not in {None, now}
            if start == str(BEGINNING) or outdated or not lease.id.startswith(prefix):
                continue
            since = self._world.loop.now() if start == str(NOW) else datetime.fromisoformat(start)
            late.append((lease.feed_range or FULL_RANGE, since))
        return late


@contextmanager
def _shown(connection: psycopg.Connection[Any], record: GenerationRecord) -> Iterator[str | None]:
    """Where its views stand: those of one that is not live are made for this moment."""
    if record.state is GenerationState.LIVE:
        yield None
        return
    with connection.transaction(force_rollback=True):
        connection.execute(f"CREATE SCHEMA {ASIDE}")
        for view in views_of(generation_of(record)):
            if "_as_of" not in view.query:
                text = f"CREATE VIEW {ASIDE}.{view.name} AS {view.query}"
                connection.execute(text.encode())
        yield ASIDE
