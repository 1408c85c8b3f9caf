"""What the routes work on: the engine, and the little state that only HTTP needs."""

from __future__ import annotations

from dataclasses import dataclass, field

from projector.emulator.cursors import Cursors
from projector.emulator.engine import Engine
from projector.emulator.odd_ids import OddIds
from projector.emulator.offers import Offers


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The emulated account as its HTTP side sees it."""

    engine: Engine
    cursors: Cursors = field(default_factory=Cursors)
    offers: Offers = field(default_factory=Offers)
    odd_ids: OddIds = field(default_factory=OddIds)
