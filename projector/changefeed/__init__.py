"""A change feed processor for Azure Cosmos DB: give it two containers and an async handler.

Several processes share the work through leases in the lease container; each change is
delivered at least once, in order per partition key, and bookmarked after the handler returns.

    async def handle(changes, context):
        for change in changes:
            print(change["id"])

    async with ChangeFeedProcessor(
        container=cart, lease_container=lease, handler=handle, processor_name="printer"
    ):
        await asyncio.sleep(60)

Needs no PostgreSQL. Lease documents have the shape of the .NET v3 processor, so estimators and
scalers that read those work unchanged.
"""

from __future__ import annotations

from projector.changefeed.containers import CosmosContainer
from projector.changefeed.estimator import ChangeFeedEstimator
from projector.changefeed.handler_sink import ChangeContext, ChangeHandlerFailed
from projector.changefeed.processor import ChangeFeedProcessor
from projector.changefeed.tuning import ProcessorTuning
from projector.core.errors import (
    ConfigurationError,
    LeaseLost,
    ProjectorError,
    SourceMissing,
    SourceRecreated,
)
from projector.core.states import CloseReason
from projector.processor.estimator import RangeEstimate

__all__ = [
    "ChangeContext",
    "ChangeFeedEstimator",
    "ChangeFeedProcessor",
    "ChangeHandlerFailed",
    "CloseReason",
    "ConfigurationError",
    "CosmosContainer",
    "LeaseLost",
    "ProcessorTuning",
    "ProjectorError",
    "RangeEstimate",
    "SourceMissing",
    "SourceRecreated",
]
