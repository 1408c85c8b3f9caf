"""The emulated account over HTTP: reads requests, lets faults strike, checks the key, answers.

All decisions are made by the routes, which know nothing of HTTP's machinery. Binds to loopback unless
told otherwise and keeps everything in memory.
"""

from __future__ import annotations

import asyncio
import time
import uuid
import weakref
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from typing import Any

from aiohttp import web
from typing_extensions import override

from cosmos_emulator.account import Account
from cosmos_emulator.addresses import addresses_of, url
from cosmos_emulator.auth import WELL_KNOWN_KEY, Locks, check_authorization, decoded_key
from cosmos_emulator.bulk import load_lines
from cosmos_emulator.control import PREFIX, Controls, control, refusal
from cosmos_emulator.engine import DEFAULT_PARTITIONS, Engine
from cosmos_emulator.entra import Entra
from cosmos_emulator.errors import EmulatorError, too_large
from cosmos_emulator.faults import Fault, Faults
from cosmos_emulator.operations import operation_of
from cosmos_emulator.routes import PAUSING, answer
from cosmos_emulator.routes_feeds import emptied
from cosmos_emulator.stats import Meter
from cosmos_emulator.tls import Identity, self_signed
from cosmos_emulator.turns import Turns
from cosmos_emulator.wire import REQUEST_CHARGE, Answer, Call, error_answer

_LARGEST_REQUEST_BYTES = 16 * 1024 * 1024
_SHUTDOWN_SECONDS = 2.0
_TURNS_TO_CONNECT = 3
_FIXED_HEADERS = {
    "Content-Type": "application/json",
    "x-ms-gatewayversion": "version=2.14.0",
    "x-ms-serviceversion": "version=2.14.0.0",
    "x-ms-schemaversion": "1.18",
    "x-ms-resource-quota": "documentSize=10240;documentsSize=52428800;documentsCount=-1;collectionSize=52428800;",
    "x-ms-resource-usage": "documentSize=0;documentsSize=0;documentsCount=0;collectionSize=0;",
}


class EmulatorServer:
    """An account behind an HTTP endpoint; port 0 takes a free one."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        key: str = WELL_KNOWN_KEY,
        partitions: int = DEFAULT_PARTITIONS,
        https: bool = False,
        engine: Engine | None = None,
        now: Callable[[], float] = time.time,  # noqa: TID251 - the edge, where wall time enters
    ) -> None:
        self.key = key
        self.engine = engine or Engine(now=now, partitions=partitions)
        self.faults = Faults()
        self.meter = Meter()
        self.turns = Turns()
        self.host, self._port, self._https = host, port, https
        self._now = now
        self.entra = Entra(self.engine.now)
        self._locks = Locks(key=decoded_key(key), entra=self.entra, now=now)
        self._account = Account(engine=self.engine)
        self.controls = Controls(
            account=self._account,
            certificate=lambda: self._identity.certificate if self._identity else None,
            entra=self.entra,
            faults=self.faults,
            meter=self.meter,
        )
        self._identity: Identity | None = None
        self._closing = asyncio.Event()
        self._runner: web.ServerRunner | None = None
        self._connections: _Connections | None = None
        self._listening: asyncio.Server | None = None

    async def start(self) -> None:
        """Begins to answer; raises OSError when the port is taken."""
        self._closing.clear()
        connections = _Connections(
            self._serve, request_factory=_request, handler_cancellation=True, access_log=None
        )
        runner = web.ServerRunner(connections, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        self._identity = self_signed(addresses_of(self.host), self._now()) if self._https else None
        context = self._identity.context if self._identity else None
        self._listening = await asyncio.get_running_loop().create_server(
            connections, self.host, self._port, ssl=context
        )
        self._runner, self._connections = runner, connections

    async def stop(self) -> None:
        """Closes every connection; requests that hang are let go."""
        self._closing.set()
        if self._runner is None or self._connections is None or self._listening is None:
            return
        await _stop_listening(self._listening)
        await self._runner.cleanup()
        self._connections.abort()
        self._runner, self._connections, self._listening = None, None, None
        await asyncio.sleep(0)

    @property
    def endpoint(self) -> str:
        """Where clients on this machine reach the account."""
        return url(self.scheme, addresses_of(self.host)[0], self.port)

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._listening is None:
            raise RuntimeError("the emulator has not been started")
        port: int = self._listening.sockets[0].getsockname()[1]
        return port

    @property
    def scheme(self) -> str:
        """What its addresses begin with."""
        return "https" if self._https else "http"

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if path.startswith(PREFIX) and path.rstrip("/").endswith("/bulk"):
            given = refusal(request.headers)
            if given is None:
                given = await load_lines(self.engine, path, _chunks(request))
            return self._response(given)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._response(error_answer(too_large()))
        call = Call(
            method=request.method,
            path=path,
            headers=request.headers,
            body=body,
            base_url=f"{request.scheme}://{request.host}",
        )
        if path.startswith(PREFIX):
            return self._response(control(self.controls, call, request.query))
        try:
            call = self._account.odd_ids.carried(call)
        except EmulatorError as error:
            self.meter.record("unknown", 0.0)
            return self._response(error_answer(error))
        operation = operation_of(call)
        fault = self.faults.take(operation or "unknown", call)
        if fault is None:
            return self._response(await self._answer(operation, call))
        return await self._serve_badly(request, fault, operation, call)

    async def _serve_badly(
        self, request: web.BaseRequest, fault: Fault, operation: str | None, call: Call
    ) -> web.StreamResponse:
        if fault.delay_ms:
            await self._pause(fault.delay_ms / 1000)
        if fault.action == "hang":
            await self._hang()
        if fault.action in {"hang", "drop"}:
            self.meter.record(operation or "unknown", 0.0)
            _abort(request)
            return web.Response(status=503)
        refusal = fault.answer()
        if refusal is not None:
            self.meter.record(operation or "unknown", 0.0)
            return self._response(refusal)
        given = await self._answer(operation, call)
        if fault.action == "truncate":
            return await self._truncated(request, given)
        if fault.action == "empty":
            return self._response(emptied(call, given))
        return self._response(given)

    async def _answer(self, operation: str | None, call: Call) -> Answer:
        try:
            if not call.altered:
                check_authorization(
                    call,
                    self._locks,
                    operation=operation,
                    by_rid=self._account.is_by_rid(call),
                )
            if operation in PAUSING:
                given = await self.turns.take(lambda: answer(self._account, operation, call))
            else:
                given = answer(self._account, operation, call)
        except EmulatorError as error:
            given = error_answer(error)
        self.meter.record(operation or "unknown", given.request_units)
        return given

    async def _hang(self) -> None:
        self.faults.waiting += 1
        try:
            await self._closing.wait()
        finally:
            self.faults.waiting -= 1

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    def _response(self, given: Answer) -> web.Response:
        return web.Response(status=given.status, body=given.body, headers=self._headers(given))

    def _headers(self, given: Answer) -> dict[str, str]:
        return {
            **_FIXED_HEADERS,
            # By the clock that also writes `_ts`, as the service's is one.
            "Date": formatdate(self.engine.now(), usegmt=True),
            "x-ms-activity-id": str(uuid.uuid4()),
            REQUEST_CHARGE: str(given.request_units),
            **given.headers,
        }

    async def _truncated(self, request: web.BaseRequest, given: Answer) -> web.StreamResponse:
        response = web.StreamResponse(status=given.status, headers=self._headers(given))
        response.content_length = len(given.body) + 1
        await response.prepare(request)
        await response.write(given.body[: len(given.body) // 2])
        _close(request)
        return response


class _Connections(web.Server):
    """The server's connections, none of which outlives `abort`.

    Closing politely is not enough: a TLS connection would wait for its peer's farewell, which may never
    come, and a handshake under way ends in a connection that nobody closes.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._is_over = False

    @override
    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._transports.add(transport)
        if self._is_over:
            transport.abort()

    def abort(self) -> None:
        """Ends every connection at once, and each that comes later."""
        self._is_over = True
        for transport in list(self._transports):
            transport.abort()


def _request(*received: Any) -> web.BaseRequest:
    message, payload, protocol, writer, task = received
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_REQUEST_BYTES
    )


async def _stop_listening(listening: asyncio.Server) -> None:
    """Closes the sockets once all that they accepted has become connections.

    asyncio turns what it accepted into a connection some turns of its loop later, and fails to, leaving
    the socket open for good, when the server was closed meanwhile.
    """
    loop = asyncio.get_running_loop()
    for each in listening.sockets:
        loop.remove_reader(each.fileno())
    for _turn in range(_TURNS_TO_CONNECT):
        await asyncio.sleep(0)
    listening.close()


def _abort(request: web.BaseRequest) -> None:
    """Closes the connection at once, without another byte."""
    if request.transport is not None:
        request.transport.abort()


def _close(request: web.BaseRequest) -> None:
    """Closes the connection after what was written."""
    if request.transport is not None:
        request.transport.close()


async def _chunks(request: web.BaseRequest) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_any():
        yield chunk
