"""What an operator may choose about one host, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from projector.core.balance import Limits
from projector.core.errors import ConfigurationError
from projector.core.names import InstanceName
from projector.core.start import BEGINNING, StartFrom


class Checkpointing(StrEnum):
    """Who writes bookmarks: the processor after each batch, or the user's handler."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorOptions:
    """Options of one host; the defaults are .NET's where .NET has them.

    Attributes:
        page_size: documents asked for per page; the service may send more or fewer.
        batch_documents: bound of what one `Sink.apply` gets; a single page may exceed it. Two batches
            per range are in memory; above 2,000 documents they cost more of it than they save time.
        gather_seconds: longest time that pages wait for more of them while a backlog is read.
        renew_seconds: a lease is written at least that often.
        expiration_seconds: a lease not written for that long may be taken by anybody.
        limits: bounds of this host's share of the leases.
        checkpoint_seconds: least time between two bookmarks of a busy range; a quiet range is
            bookmarked at once.
        stall_seconds: a range behind and not moving for that long is restarted.
        apply_stall_seconds: the same for one call of `Sink.apply`; None for handlers that may
            take as long as they like.
        drain_seconds: budget of a stop; after it ranges are left as they are.
        lock_seconds: life of the bootstrap lock.
    """

    processor_name: str
    instance_name: InstanceName
    start_from: StartFrom = BEGINNING
    checkpointing: Checkpointing = Checkpointing.AUTOMATIC
    page_size: int = 1000
    batch_documents: int = 2000
    gather_seconds: float = 0.25
    poll_min_seconds: float = 0.05
    poll_max_seconds: float = 1.0
    acquire_seconds: float = 13.0
    renew_seconds: float = 17.0
    expiration_seconds: float = 60.0
    limits: Limits = field(default_factory=Limits)
    checkpoint_seconds: float = 1.0
    stall_seconds: float = 120.0
    apply_stall_seconds: float | None = 120.0
    drain_seconds: float = 30.0
    lock_seconds: int = 30

    def __post_init__(self) -> None:
        """Refuse values that contradict each other or cannot work."""
        if not self.instance_name:
            raise ConfigurationError("an instance name is needed; give each host one of its own")
        if not self.renew_seconds < self.expiration_seconds:
            raise ConfigurationError(
                f"leases are renewed every {self.renew_seconds} s but expire after"
                f" {self.expiration_seconds} s; renewal must come first"
            )
        for name in ("page_size", "batch_documents", "lock_seconds"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1")
        for name in _DURATIONS:
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} must be above 0")
        if self.poll_min_seconds > self.poll_max_seconds:
            raise ConfigurationError("poll_min_seconds must not exceed poll_max_seconds")


_DURATIONS = (
    "gather_seconds",
    "poll_min_seconds",
    "poll_max_seconds",
    "acquire_seconds",
    "renew_seconds",
    "expiration_seconds",
    "stall_seconds",
    "drain_seconds",
)
