"""Lets clients in, few at a time and not for long, whatever they do or leave undone.

Each connection bears one request and lives for some seconds: a request that is sent in halves, or
an answer that nobody reads, ends with it. Where all places are taken the oldest connection goes, so
that silent clients never keep a probe out. Where the process is out of descriptors the oldest goes
too; without any, accepting waits, and one line says so.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import BaseTransport, Protocol, WriteTransport
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum

import structlog

PLACES = 16
CONNECTION_SECONDS = 10.0
SWEEP_SECONDS = 0.5
PAUSE_SECONDS = 1.0
BACKLOG = 64

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class WebEvent(StrEnum):
    """Names of the log events of this module."""

    REFUSING = "web_refusing"


class Door:
    """The connections of one address; closes its sockets at the end."""

    def __init__(
        self, listening: Sequence[socket.socket], protocol: Callable[[], Protocol]
    ) -> None:
        """Take sockets that listen, non-blocking, and what speaks with a client."""
        self._listening = listening
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._inside: deque[tuple[float, BaseTransport]] = deque()
        self._refusing = False

    @property
    def inside(self) -> int:
        """How many connections are open."""
        self._forget_closed()
        return len(self._inside)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Let clients in while the block runs."""
        failure: BaseException | None = None
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._let_in(one), name="web:accept") for one in self._listening
            ]
            tasks.append(group.create_task(self._sweep(), name="web:sweep"))
            try:
                yield
            except BaseException as error:  # noqa: BLE001 - raised below, not in a group of one
                failure = error
            for task in tasks:
                task.cancel()
        for one in self._listening:
            one.close()
        while self._inside:
            self._send_away()
        if failure is not None:
            raise failure

    async def _let_in(self, listening: socket.socket) -> None:
        while True:
            await self._somebody_knocks(listening)
            try:
                client, _ = listening.accept()
            except BlockingIOError:
                continue  # gone again
            except OSError as error:
                await self._make_way(error)
                continue
            self._refusing = False
            client.setblocking(False)  # noqa: FBT003 - the socket's own signature
            try:
                transport, _ = await self._loop.connect_accepted_socket(self._protocol, client)
            except Exception:  # noqa: BLE001 - whatever one client is, the door stays open
                client.close()
                continue
            self._inside.append((self._loop.time() + CONNECTION_SECONDS, transport))
            if self.inside > PLACES:
                self._send_away()

    async def _somebody_knocks(self, listening: socket.socket) -> None:
        """Wait, and accept nothing: `sock_accept` that is cancelled in that moment would lose a client, unclosed."""
        knocked = asyncio.Event()
        self._loop.add_reader(listening, knocked.set)
        try:
            await knocked.wait()
        finally:
            self._loop.remove_reader(listening)

    async def _make_way(self, error: OSError) -> None:
        """Without a descriptor for one more: the oldest goes, or everybody waits."""
        if self.inside:
            self._send_away()
            await asyncio.sleep(0)  # its descriptor is closed by the loop
            return
        if not self._refusing:
            self._refusing = True
            log.warning(WebEvent.REFUSING, error=error.strerror, seconds=PAUSE_SECONDS)
        await asyncio.sleep(PAUSE_SECONDS)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._forget_closed()
            while self._inside and self._inside[0][0] <= self._loop.time():
                self._send_away()

    def _send_away(self) -> None:
        _, transport = self._inside.popleft()
        if isinstance(transport, WriteTransport):
            transport.abort()

    def _forget_closed(self) -> None:
        if any(transport.is_closing() for _, transport in self._inside):
            self._inside = deque(one for one in self._inside if not one[1].is_closing())
