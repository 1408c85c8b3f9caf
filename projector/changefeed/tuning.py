"""The numbers of a processor that most users leave alone."""

from __future__ import annotations

from dataclasses import dataclass

from projector.core.balance import Limits
from projector.core.names import InstanceName
from projector.core.start import StartFrom
from projector.processor.options import Checkpointing, ProcessorOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorTuning:
    """Sizes and times; those of leases are .NET's.

    Attributes:
        page_size: documents asked for per page; a transaction is never torn apart.
        poll_min_seconds: wait after the first poll without changes; it doubles from there.
        poll_max_seconds: longest wait between two polls of an idle range.
        lease_acquire_seconds: how often the share of leases is balanced.
        lease_renew_seconds: how often an owned lease is written at least.
        lease_expiration_seconds: silence after which others take a lease.
        min_leases: leases this process takes at least.
        max_leases: leases this process takes at most; None is unbounded.
        drain_seconds: budget of a stop; a handler that takes longer is cancelled.
    """

    page_size: int = 100
    poll_min_seconds: float = 0.05
    poll_max_seconds: float = 1.0
    lease_acquire_seconds: float = 13.0
    lease_renew_seconds: float = 17.0
    lease_expiration_seconds: float = 60.0
    min_leases: int = 0
    max_leases: int | None = None
    drain_seconds: float = 30.0

    def options(
        self,
        *,
        processor_name: str,
        instance_name: InstanceName,
        start_from: StartFrom,
        checkpointing: Checkpointing,
    ) -> ProcessorOptions:
        """The same for a host: one page per call of the handler, each bookmarked at once."""
        return ProcessorOptions(
            processor_name=processor_name,
            instance_name=instance_name,
            start_from=start_from,
            checkpointing=checkpointing,
            page_size=self.page_size,
            batch_documents=1,
            poll_min_seconds=self.poll_min_seconds,
            poll_max_seconds=self.poll_max_seconds,
            acquire_seconds=self.lease_acquire_seconds,
            renew_seconds=self.lease_renew_seconds,
            expiration_seconds=self.lease_expiration_seconds,
            limits=Limits(min_leases=self.min_leases, max_leases=self.max_leases),
            checkpoint_seconds=0.0,
            apply_stall_seconds=None,
            drain_seconds=self.drain_seconds,
        )
