"""What the routes work on: the engine, and the little state that only HTTP needs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import quote

from cosmos_emulator.cursors import Cursors
from cosmos_emulator.engine import Engine
from cosmos_emulator.odd_ids import OddIds
from cosmos_emulator.offers import Offers
from cosmos_emulator.rids import item_number
from cosmos_emulator.wire import Call

DATABASE_PARTS, CONTAINER_PARTS, ITEM_PARTS = 2, 4, 6
"""Parts of a path up to the name of a database, a container and an item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The emulated account as its HTTP side sees it."""

    engine: Engine
    cursors: Cursors = field(default_factory=Cursors)
    offers: Offers = field(default_factory=Offers)
    odd_ids: OddIds = field(default_factory=OddIds)

    def is_by_rid(self, call: Call) -> bool:
        """Whether the request addresses by resource ids, as the `_self` links of answers do."""
        parts = call.segments
        if len(parts) > 1 and parts[0] == "dbs":
            return self.engine.is_rid(parts[1])
        return bool(parts) and parts[0] == "offers"

    def by_names(self, call: Call) -> Call:
        """The same request with names for resource ids; what there is not stays as it is."""
        parts = list(call.segments)
        if len(parts) < DATABASE_PARTS or parts[0] != "dbs" or not self.engine.is_rid(parts[1]):
            return call
        parts[1] = self.engine.database(parts[1]).name
        if len(parts) >= CONTAINER_PARTS and parts[2] == "colls":
            container = self.engine.container(parts[1], parts[3])
            parts[3] = container.name
            if (
                len(parts) >= ITEM_PARTS
                and parts[4] == "docs"
                and item_number(parts[5]) is not None
            ):
                parts[5] = container.id_of(parts[5])
        return replace(call, path="/".join(quote(part, safe="") for part in parts))
