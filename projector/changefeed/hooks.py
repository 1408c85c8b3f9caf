"""The user's health hooks as an observer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from typing_extensions import override

from projector.core.names import LeaseToken
from projector.core.states import CloseReason
from projector.processor.notifications import SilentObserver

OnAcquired = Callable[[str], Awaitable[None]]
OnReleased = Callable[[str, CloseReason], Awaitable[None]]
OnError = Callable[[str, Exception], Awaitable[None]]


class Hooks(SilentObserver):
    """Calls what the user gave; the processor catches and logs what they raise."""

    def __init__(
        self,
        *,
        on_acquired: OnAcquired | None,
        on_released: OnReleased | None,
        on_error: OnError | None,
    ) -> None:
        """Take the hooks; None is silent."""
        self._on_acquired = on_acquired
        self._on_released = on_released
        self._on_error = on_error

    @override
    async def acquired(self, token: LeaseToken) -> None:
        """The lease is owned, the range about to be read."""
        if self._on_acquired is not None:
            await self._on_acquired(token)

    @override
    async def released(self, token: LeaseToken, reason: CloseReason) -> None:
        """The range is no longer read by this host."""
        if self._on_released is not None:
            await self._on_released(token, reason)

    @override
    async def failed(self, token: LeaseToken, error: Exception) -> None:
        """A range ended, or waits, because of this error."""
        if self._on_error is not None:
            await self._on_error(token, error)
