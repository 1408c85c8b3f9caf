"""A pooler that hands out sessions by the transaction is found, whatever it is called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from projector.core.errors import PreconditionFailed
from projector.operations.checks import require
from projector.operations.target_checks import POOLER
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.wiring.commands import target_checks
from projector.wiring.opening import target
from projector.wiring.servers import Servers

pytestmark = pytest.mark.postgres

SSL_REQUESTS = (80877103, 80877104)
AUTHENTICATED = b"R\x00\x00\x00\x08\x00\x00\x00\x00"
IDLE = b"I"


@dataclass(kw_only=True)
class Pooler:
    """One session of the server for all clients, a transaction each; the first one signs in."""

    host: str
    port: int
    greeting: bytes = b""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    clients: list[asyncio.Task[None]] = field(default_factory=list)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A client has come."""
        self.clients.append(asyncio.create_task(self.serve(reader, writer)))

    async def close(self) -> None:
        """Wait until the clients have gone, then leave the server."""
        await asyncio.gather(*self.clients)
        if self.server is not None:
            await hung_up(self.server[1])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client from its greeting to its end."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            startup = await self._startup(reader, writer)
            async with self.turn:
                if self.server is None:
                    await self._sign_in(startup, reader, writer)
                else:
                    writer.write(self.greeting)
            while (piece := await reader.read(65_536)) and piece[:1] != b"X":
                async with self.turn:
                    await self._answered(piece, reader, writer)
        await hung_up(writer)

    async def _startup(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        while True:
            size = await reader.readexactly(4)
            rest = await reader.readexactly(int.from_bytes(size) - 4)
            if int.from_bytes(rest[:4]) not in SSL_REQUESTS:
                return size + rest
            writer.write(b"N")

    async def _sign_in(
        self, startup: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = await asyncio.open_connection(self.host, self.port)
        self.greeting = AUTHENTICATED
        for message in await self._answered(startup, reader, writer):
            if message[:1] != b"R":
                self.greeting += message

    async def _answered(
        self, piece: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> list[bytes]:
        """Pass both ways until the server is idle again; what it said."""
        assert self.server
        source, sink = self.server
        sink.write(piece)

        async def pass_on() -> None:
            while more := await reader.read(65_536):
                sink.write(more)

        said = []
        async with asyncio.TaskGroup() as group:
            passing = group.create_task(pass_on())
            while True:
                head = await source.readexactly(5)
                message = head + await source.readexactly(int.from_bytes(head[1:]) - 4)
                writer.write(message)
                said.append(message)
                if message[:1] == b"Z" and message[5:6] == IDLE:
                    break
            passing.cancel()
        return said


async def hung_up(writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def pooled(url: str) -> AsyncIterator[str]:
    parts = conninfo_to_dict(url)
    pooler = Pooler(host=str(parts["host"]), port=int(str(parts["port"])))
    async with await asyncio.start_server(pooler.accept, "127.0.0.1", 0) as server:
        yield make_conninfo(url, host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        await pooler.close()


async def look(url: str) -> None:
    settings = Settings.model_validate({"database_url": url})
    async with target(settings) as reached:
        checks = target_checks(settings, SystemClock(), reached)
        await require(
            [one for one in checks.before_schema() if one.name == POOLER],
            Servers(clock=SystemClock()).waiting_for_target,
        )


async def test_a_pooler_in_transaction_mode_is_refused(database_url: str) -> None:
    async with pooled(database_url) as through:
        with pytest.raises(PreconditionFailed, match="session mode"):
            await look(through)


async def test_a_server_without_one_is_not(database_url: str) -> None:
    await look(database_url)
