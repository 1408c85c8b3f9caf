"""The transport under the SDK: what holds for every request, whoever sends it.

The SDK sleeps before it asks a throttled service again, as long as the service says, in the
middle of a call. Here a throttled answer ends the call at once, whatever was asked, and the loop
above decides how long to wait.
Source: azure-cosmos 4.17.1; an error that is none of azure-core's passes its retries.
"""

from __future__ import annotations

from typing import Any

from azure.core.pipeline.transport import AioHttpTransport
from typing_extensions import override

from projector.cosmos.faults import throttled
from projector.cosmos.wire import HTTP_TOO_MANY_REQUESTS, RETRY_AFTER, wait_seconds


class Transport(AioHttpTransport):  # type: ignore[misc]  # azure-core imports it lazily, untyped
    """One HTTP session of one client."""

    def __init__(self) -> None:
        """Take nothing from the environment: netrc would be looked up for each request."""
        super().__init__(use_env_settings=False)

    @override
    async def send(self, request: Any, **options: Any) -> Any:
        """Send one request. Raises Throttled beside what the SDK expects."""
        response = await super().send(request, **options)
        if response.status_code == HTTP_TOO_MANY_REQUESTS:
            raise throttled(wait_seconds(response.headers.get(RETRY_AFTER)))
        return response
