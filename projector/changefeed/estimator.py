"""How far a processor is behind, asked from any process: for dashboards, alarms and scalers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from projector.changefeed.containers import container_of
from projector.changefeed.handler_sink import opened
from projector.processor.clock import SystemClock
from projector.processor.estimator import Estimator, RangeEstimate, gap_in_all


class ChangeFeedEstimator:
    """Estimates the ranges of one processor; owns no lease and writes nothing.

    async with ChangeFeedEstimator(
        container=cart, lease_container=lease, processor_name="printer"
    ) as estimator:
        for range in await estimator.estimate():
            print(range.lease_token, range.owner, range.gap_changes, range.lag_seconds)
    """

    def __init__(self, *, container: Any, lease_container: Any, processor_name: str) -> None:
        """Take the same containers and name that the processor was given."""
        self._container = container_of(container)
        self._lease_container = container_of(lease_container)
        self._processor_name = processor_name
        self._stack = AsyncExitStack()
        self._estimator: Estimator | None = None

    async def __aenter__(self) -> Self:
        """Connect. Raises: ConfigurationError, SourceMissing, SourceUnavailable."""
        clock = SystemClock()
        adapters = await self._stack.enter_async_context(
            opened(
                self._container,
                self._lease_container,
                processor_name=self._processor_name,
                clock=clock,
            )
        )
        self._estimator = Estimator(source=adapters.source, leases=adapters.leases, clock=clock)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        self._estimator = None
        await self._stack.aclose()

    async def estimate(self) -> Sequence[RangeEstimate]:
        """One estimate per lease; empty while no processor has ever run."""
        if self._estimator is None:
            raise RuntimeError("use the estimator inside `async with`")
        return await self._estimator.estimate()

    async def gap(self) -> int:
        """Changes not read yet, for a scaler: unknown ranges count 1, no leases count 1."""
        return gap_in_all(await self.estimate())
