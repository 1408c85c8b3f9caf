"""An account in a thread of its own, for tests: clients that block and clients of asyncio both reach it.

Its methods are the control requests of the same names. They return when the server has done what they
say, within a millisecond or so, so that an asynchronous test calls them as they are. A request that makes
no sense raises `EmulatorError`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Self, TypeVar
from urllib.parse import quote

from cosmos_emulator.control import perform
from cosmos_emulator.credentials import AsyncCredential, Credential
from cosmos_emulator.entra import ANY_ACCOUNT, Token
from cosmos_emulator.server import EmulatorServer

T = TypeVar("T")
_PATIENCE_SECONDS = 60.0
_Running = tuple[EmulatorServer, asyncio.AbstractEventLoop, asyncio.Event]


class Emulator:
    """A running account between `start` and `stop`, or inside a `with` block; port 0 takes a free one.

    Args:
        options: those of `EmulatorServer`: `host`, `port`, `key`, `partitions`, `https`, `engine`, `now`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._thread: threading.Thread | None = None
        self._running: _Running | None = None

    @property
    def endpoint(self) -> str:
        """Where clients reach the account."""
        return self._started[0].endpoint

    @property
    def key(self) -> str:
        """The account's key."""
        return self._started[0].key

    def start(self) -> Self:
        """Begins to answer; raises OSError when the port is taken."""
        started: Future[_Running] = Future()
        self._thread = threading.Thread(
            target=_run, args=(self._options, started), name="cosmos-emulator", daemon=True
        )
        self._thread.start()
        self._running = started.result(_PATIENCE_SECONDS)
        return self

    def stop(self) -> None:
        """Closes every connection; what was written is gone."""
        if self._running is not None and self._thread is not None:
            _, loop, told = self._running
            loop.call_soon_threadsafe(told.set)
            self._thread.join(_PATIENCE_SECONDS)
        self._running, self._thread = None, None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def create_database(self, name: str) -> None:
        """Creates an empty database."""
        self._call(lambda server: server.engine.create_database(name))

    def delete_database(self, name: str) -> None:
        """Removes a database with everything in it."""
        self._call(lambda server: server.engine.delete_database(name))

    def ranges(self, database: str, container: str) -> list[str]:
        """The ids of the container's living physical partitions, lowest keys first."""
        return self._call(
            lambda server: [
                each.range_id for each in server.engine.container(database, container).partitions()
            ]
        )

    def split(self, database: str, container: str, range_id: str | None = None) -> list[str]:
        """Splits a physical partition, the first unless told; returns its children's ids."""
        chosen = range_id or self.ranges(database, container)[0]
        children: list[str] = self._on(database, container, "split", {"range": chosen})["children"]
        return children

    def merge(self, database: str, container: str, range_ids: Sequence[str] | None = None) -> str:
        """Merges neighbours, the first two unless told; returns their child's id."""
        chosen = range_ids or self.ranges(database, container)[:2]
        child: str = self._on(database, container, "merge", {"ranges": list(chosen)})["child"]
        return child

    def advance_clock(self, seconds: float) -> None:
        """Lets so much time pass for the service (`_ts`, expiry); less than 0 sets it back."""
        now = self.control("GET", "clock")["offset_seconds"]
        self.control("POST", "clock", {"offset_seconds": now + seconds})

    def install_fault(self, **fields: Any) -> None:
        """Lets requests fail, hang or take their time: `operation="read_item", status=429, times=2`."""
        self.control("POST", "faults", fields)

    def clear_faults(self) -> None:
        """Ends all faults."""
        self.control("DELETE", "faults")

    def token(self, audience: str = ANY_ACCOUNT, **options: Any) -> Token:
        """Signs a token of the dummy Entra; options: `role`, `lifetime_seconds`, `principal`."""
        return self._call(lambda server: server.entra.token(audience, **options))

    def credential(self, **options: Any) -> Credential:
        """Signs in a client that blocks; needs https. Options as for `token`."""
        return Credential(lambda audience: self.token(audience, **options))

    def async_credential(self, **options: Any) -> AsyncCredential:
        """Signs in a client of asyncio; needs https. Options as for `token`."""
        return AsyncCredential(lambda audience: self.token(audience, **options))

    def stats(self) -> dict[str, Any]:
        """What was asked so far, by operation, and what the ranges hold."""
        counted: dict[str, Any] = self.control("GET", "stats")
        return counted

    def reset(self) -> None:
        """Makes the account what it was at its start: no database, no fault, no count, no shift."""
        self.control("POST", "reset")

    def control(self, method: str, path: str, body: object = None) -> Any:
        """Carries out any control request; `path` is what follows `/_emulator/`."""
        return self._call(lambda server: perform(server.controls, method, path, body))

    def _on(self, database: str, container: str, action: str, body: object) -> Any:
        place = f"dbs/{quote(database, safe='')}/colls/{quote(container, safe='')}"
        return self.control("POST", f"{place}/{action}", body)

    def _call(self, act: Callable[[EmulatorServer], T]) -> T:
        """Acts on the server in its own thread, where it answers requests."""
        server, loop, _ = self._started

        async def acting() -> T:
            return act(server)

        return asyncio.run_coroutine_threadsafe(acting(), loop).result(_PATIENCE_SECONDS)

    @property
    def _started(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the emulator has not been started")
        return self._running


def _run(
    options: dict[str, Any],
    started: Future[_Running],
) -> None:
    async def main() -> None:
        server, told = EmulatorServer(**options), asyncio.Event()
        await server.start()
        started.set_result((server, asyncio.get_running_loop(), told))
        try:
            await told.wait()
        finally:
            await server.stop()

    try:
        asyncio.run(main())
    except BaseException as error:
        if started.done():
            raise
        started.set_exception(error)
