"""The public face of the processor: containers and a handler in, changes out, until stopped."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Generic, Literal, Self, TextIO, TypeVar, cast

import structlog

from projector.changefeed.containers import container_of
from projector.changefeed.handler_sink import (
    Decoder,
    Handler,
    HandlerSink,
    Hooks,
    OnAcquired,
    OnError,
    OnReleased,
    opened,
)
from projector.changefeed.tuning import ProcessorTuning
from projector.core.errors import ConfigurationError
from projector.core.names import Continuation, Epoch, InstanceName, LeaseToken
from projector.core.start import BEGINNING, NOW, StartFrom, StartKind, check_not_ahead
from projector.ports.feed import Page
from projector.processor.clock import SystemClock
from projector.processor.host import Host
from projector.processor.options import Checkpointing
from projector.telemetry.outlet import error_outlet

T = TypeVar("T")
StartPosition = Literal["now", "beginning"] | datetime


class ChangeFeedProcessor(Generic[T]):
    """Reads the change feed of a container, together with all processors of the same name.

    Start it with `async with`, with `start()` and `stop()`, or with `run()`, which ends at
    SIGTERM or Ctrl-C. It may be started again after a stop.

    Args:
        container: what to read: a `CosmosContainer`, or a `ContainerProxy` of
            azure.cosmos.aio.
        lease_container: where leases live, in the same forms; created when missing,
            partitioned on /id.
        handler: `async (changes, context)`; called once per page that holds changes, one
            page at a time per range, ranges concurrently. When it raises, the range is
            given back and the same changes come again.
        processor_name: processors of one name share the work; another name reads it all.
        instance_name: must differ between processes; unique by default.
        start_from: where ranges without a bookmark begin: "now" (as of the first start of
            this name), "beginning", or an aware datetime.
        checkpoint: "automatic" bookmarks each page after the handler returned; "manual"
            leaves that to `context.checkpoint()`.
        decoder: makes one change of a document's JSON bytes; None makes dicts.
        tuning: page size, polling, leases, stopping.
        on_acquired: `async (lease_token)`, before its first change.
        on_released: `async (lease_token, reason)`, after its last.
        on_error: `async (lease_token, error)`; handler errors are `ChangeHandlerFailed`.
    """

    def __init__(
        self,
        *,
        container: Any,
        lease_container: Any,
        handler: Handler[T],
        processor_name: str,
        instance_name: str | None = None,
        start_from: StartPosition = "now",
        checkpoint: Literal["automatic", "manual"] = "automatic",
        decoder: Decoder[T] | None = None,
        tuning: ProcessorTuning = ProcessorTuning(),  # noqa: B008 - frozen
        on_acquired: OnAcquired | None = None,
        on_released: OnReleased | None = None,
        on_error: OnError | None = None,
    ) -> None:
        """Describe the processor; nothing is connected before it starts.

        Raises:
            ConfigurationError: options that contradict each other.
        """
        self._container = container_of(container)
        self._lease_container = container_of(lease_container)
        self._clock = SystemClock()
        self._hooks = Hooks(on_acquired=on_acquired, on_released=on_released, on_error=on_error)
        self._sink = HandlerSink(handler=handler, decoder=decoder, bookmark=self._bookmark)
        self._options = tuning.options(
            processor_name=processor_name,
            instance_name=InstanceName(instance_name or _unique_name()),
            start_from=_start(start_from),
            checkpointing=Checkpointing(checkpoint),
        )
        self._host: Host[Page] | None = None
        self._task: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()

    @property
    def instance_name(self) -> str:
        """The name this process bears in its leases."""
        return self._options.instance_name

    async def start(self) -> None:
        """Connect, set up the leases and begin to read; changes from now on are delivered.

        Raises:
            ConfigurationError: wrong key or right, or a start time that has not come yet.
            SourceMissing: there is no such database or container.
            SourceUnavailable: the account does not answer.
            RuntimeError: it runs already.
        """
        if self._task is not None:
            raise RuntimeError("the processor runs already; stop it first")
        check_not_ahead(self._options.start_from, now=self._clock.now())
        _quiet_logs()
        self._connected.clear()
        loop = asyncio.get_running_loop()
        # Held here and joined in `stop`: a start that returns cannot live in a caller's group.
        self._task = loop.create_task(self._serve(), name=f"processor:{self.instance_name}")
        self._task.add_done_callback(lambda _: self._connected.set())
        await self._connected.wait()
        host = self._host
        if host is not None:
            await host.wait_until_started()
        if host is None or host.ended:
            await self.stop()

    async def stop(self) -> None:
        """Finish the changes in hand, bookmark them and release all leases.

        No handler is called after it returned. Raises: the error that ended the processor
        before, if one did. A processor that does not run is left alone.
        """
        task, self._task = self._task, None
        if task is None:
            return
        if self._host is not None:
            self._host.request_stop()
        await task

    async def run(self) -> None:
        """Start, serve until SIGTERM, Ctrl-C or cancellation, and stop in good order."""
        await self.start()
        try:
            with self._signals():
                if self._task is not None:
                    await asyncio.wait((self._task,))
        finally:
            await self.stop()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def _serve(self) -> None:
        async with opened(
            self._container,
            self._lease_container,
            processor_name=self._options.processor_name,
            clock=self._clock,
        ) as adapters:
            host = Host(
                source=adapters.source,
                leases=adapters.leases,
                markers=adapters.markers,
                sink=self._sink,
                sweeper=self._sink,
                options=self._options,
                clock=self._clock,
                draw=random.Random(),  # noqa: S311 - spreads load, hides nothing
                observer=self._hooks,
            )
            self._host = host
            self._connected.set()
            try:
                await host.run()
            finally:
                self._host = None

    async def _bookmark(self, token: LeaseToken, epoch: Epoch, continuation: Continuation) -> None:
        if self._options.checkpointing is Checkpointing.AUTOMATIC:
            raise RuntimeError('checkpoints are automatic; ask for checkpoint="manual"')
        if self._host is None:
            raise RuntimeError("the processor does not run")
        await self._host.checkpoint(token, epoch, continuation)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGTERM and Ctrl-C ask for a stop, where this platform and thread can."""
        loop = asyncio.get_running_loop()
        caught: list[signal.Signals] = []
        host = self._host
        if host is not None:
            for name in (signal.SIGTERM, signal.SIGINT):
                with suppress(NotImplementedError, RuntimeError, ValueError):
                    loop.add_signal_handler(name, host.request_stop)
                    caught.append(name)
        try:
            yield
        finally:
            for name in caught:
                loop.remove_signal_handler(name)


def _start(position: StartPosition) -> StartFrom:
    match position:
        case "now":
            return NOW
        case "beginning":
            return BEGINNING
        case datetime():
            return StartFrom(kind=StartKind.TIME, time=position)
        case _:
            raise ConfigurationError(
                'start_from is "now", "beginning" or a datetime with a time zone'
            )


def _quiet_logs() -> None:
    """Warnings to stderr, unless the program has configured structlog itself."""
    if not structlog.is_configured():
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger("warning"),
            logger_factory=structlog.PrintLoggerFactory(cast("TextIO", error_outlet())),
        )


def _unique_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
