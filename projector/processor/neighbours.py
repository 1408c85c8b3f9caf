"""Everything a range needs from outside, in one value."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Generic, TypeVar

from projector.core.names import Holder
from projector.ports.budget import Allowance
from projector.ports.feed import Clock, LeaseStore, Sink, Sweeper
from projector.processor.notifications import Notifications
from projector.processor.options import ProcessorOptions
from projector.processor.shared_source import SharedSource

P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours(Generic[P]):
    """Shared by all ranges of a host."""

    source: SharedSource
    allowance: Allowance
    leases: LeaseStore
    sink: Sink[P]
    sweeper: Sweeper
    clock: Clock
    draw: random.Random
    observer: Notifications
    options: ProcessorOptions
    me: Holder
    container_rid: str
