"""Work that lasts as long as a body does, and leaves the body's errors as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
    """Run the work in a task of that name until the body ends; an error of the work ends the body."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work, name=name)
            try:
                yield
            finally:
                task.cancel()
    except BaseExceptionGroup as errors:
        # Nobody who waits for an error of the body expects it inside a group.
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
