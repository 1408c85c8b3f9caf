"""Who acts: the person who types a command, and a host in the timeline, from its start to its stop.

A host's entries get two seconds each: no host waits for its own story. One that is killed tells no end;
whoever takes its leases over tells that.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from projector.core.errors import first_of
from projector.ports.timeline import Kind
from projector.postgres.connections import Connections
from projector.postgres.timeline import record

TELL_SECONDS = 2.0


@asynccontextmanager
async def presence(
    connections: Connections, name: str, *, version: str, documents: Callable[[], int]
) -> AsyncIterator[None]:
    """Tells the start of this host, and at the end of the block its stop, with documents delivered."""

    async def tell(kind: Kind, detail: Mapping[str, Any]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(TELL_SECONDS):
                await record(connections, kind, name, detail, name)

    await tell(Kind.HOST_STARTED, {"version": version})
    why = None
    try:
        yield
    except Exception as error:
        first = first_of(error)
        why = str(first) or type(first).__name__
        raise
    finally:
        await tell(Kind.HOST_STOPPED, {"documents": documents(), "why": why})


def person() -> str:
    """The user and the machine; in a container that has no name for its user, the number."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # KeyError: before Python 3.13
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
