"""Whether SQL equals the container, with the excuses that the contract allows and no other.

What it says of the times at which it was looked at before is looked at as well.
"""

from __future__ import annotations

from datetime import datetime

import psycopg

from cosmos_emulator import Engine
from projector.core.lease import START_FROM_PROPERTY
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.start import BEGINNING, NOW, StartFrom
from projector.cosmos.lease_documents import lease_of
from tests.simulation.hosts import prefix_of
from tests.simulation.leases import lease_documents
from tests.simulation.loop import VirtualLoop
from tests.simulation.oracle import differences
from tests.simulation.past import Past
from tests.simulation.shop import Shop
from tests.simulation.trade import Trade

CLOCK_SECONDS = 100
"""The service's clock may be that far from ours."""


class Judge:
    """Compares one world."""

    def __init__(
        self, *, engine: Engine, shop: Shop, loop: VirtualLoop, url: str, trade: Trade
    ) -> None:
        self._engine = engine
        self._shop = shop
        self._loop = loop
        self._url = url
        self._trade = trade
        self._past = Past(trade)

    def wrong(self, start_from: StartFrom, *, forgiven: bool) -> list[str]:
        """What is wrong under that setting, one line each.

        `forgiven` are documents that ended, or that a restore hid, since the last replay.
        """
        late = self._late(start_from)
        hidden = {
            document.key
            for keys, since in late
            for document in self._shop.container.documents(keys.min, keys.max)
            if document.ts < since.timestamp() + CLOCK_SECONDS
        }
        with psycopg.connect(self._url, autocommit=True) as connection:
            past = self._past.wrong(connection)
            return past + differences(
                self._shop.container,
                connection,
                trade=self._trade,
                forgiven=self._shop.unseen_ends if forgiven else (),
                hidden=hidden | (self._shop.hidden() if forgiven else set()),
                unswept=[keys for keys, _ in late] if forgiven else (),
            )

    async def remember(self) -> str:
        """Note the rows of this moment, to be asked for later."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            return self._past.note(connection)

    def _late(self, start_from: StartFrom) -> list[tuple[FeedRange, datetime]]:
        """Ranges that did not begin at the beginning, and since when they were read.

        One that was only anchored under another START_FROM is no excuse under this one.
        """
        prefix = prefix_of(self._engine)
        late = []
        for lease in map(lease_of, lease_documents(self._engine)):
            start = lease.properties.get(START_FROM_PROPERTY, str(BEGINNING))
            outdated = lease.anchored_from not in {None, str(start_from)}
            if start == str(BEGINNING) or outdated or not lease.id.startswith(prefix):
                continue
            since = self._loop.now() if start == str(NOW) else datetime.fromisoformat(start)
            late.append((lease.feed_range or FULL_RANGE, since))
        return late
