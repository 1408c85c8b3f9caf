"""Connections to the target: few, prepared, and never able to hang for longer than a lease.

Every session is in autocommit, is made ready as `properties` says, and bears timeouts below the lease
expiration: the server itself ends the transaction of a host that was stopped or cut off (but for one
that was stopped while it copies, see `blockers`), and a query whose server fell silent is given up here. A session that is
broken, silent or spent (see `errors`) is dropped together with those that lie idle: whatever ails it
ails them, and a new one may find another server under the name. Errors leave as errors of ours.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.rows import TupleRow, class_row
from psycopg_pool import AsyncConnectionPool
from typing_extensions import override

from projector.core.errors import ProjectorError, SinkTooSlow, SinkUnavailable
from projector.postgres.address import Address, address
from projector.postgres.columns import ArrayText, ArrayTextDumper
from projector.postgres.encryption import check_encrypted
from projector.postgres.errors import POOL_ERRORS, spends_session, translated
from projector.postgres.generation import FIRST_CONTROL
from projector.postgres.properties import PLANS, complete, looking_in, prepare_async, why_not

Session = AsyncConnection[TupleRow]
Parameters = Sequence[object] | Mapping[str, object]
T = TypeVar("T")

CLOSING_SECONDS = 5.0
HUNG_UP_SECONDS = 0.5
"""What those who make connections get to end in when the pool closes."""

LONGEST_STATEMENT_SECONDS = 30.0
"""However long leases last: a range whose batch is silent for two minutes counts as stalled."""


class JsonText(bytes):
    """Encoded JSON that goes to the server as it is, as one `json` parameter."""


class _JsonTextDumper(Dumper):
    oid = psycopg.adapters.types["json"].oid

    @override
    def dump(self, obj: JsonText) -> Buffer:
        return obj


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """How to reach the target.

    Attributes:
        url: with the password; never shown.
        connections: at most so many at a time; one batch in flight takes one.
        lease_expiration_seconds: every timeout of a session stays below it.
        acquire_seconds: how long to wait for a free or a new connection.
        control: the schema of the control tables of the generation that they work for.
    """

    url: str = field(repr=False)
    connections: int = 8
    application_name: str = "projector"
    lease_expiration_seconds: float = 60.0
    acquire_seconds: float = 5.0
    control: str = FIRST_CONTROL

    @property
    def statement_seconds(self) -> float:
        """The longest a statement of a batch may take; a batch that needs longer is divided."""
        return min(self.lease_expiration_seconds / 2, LONGEST_STATEMENT_SECONDS)

    @property
    def lock_seconds(self) -> float:
        """The longest a statement waits for a lock."""
        return self.lease_expiration_seconds / 4

    @property
    def idle_in_transaction_seconds(self) -> float:
        """After so long the server ends a transaction whose host is silent."""
        return self.lease_expiration_seconds / 3


class Connections:
    """A bounded set of sessions; use as an async context manager, or `open` and `close`."""

    def __init__(self, options: ConnectionOptions) -> None:
        """Describe them; nothing is connected before the first use."""
        self._options = options
        self._arguments: dict[str, Any] = {
            "autocommit": True,
            "application_name": options.application_name,
            "connect_timeout": max(2, round(options.acquire_seconds)),
            "keepalives_idle": max(1, round(options.lock_seconds)),
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": round(options.statement_seconds * 1000),
        }
        self._address: Address | None = None
        self._pool: AsyncConnectionPool[Session] | None = None
        self._refused: WeakKeyDictionary[Session, ProjectorError] = WeakKeyDictionary()
        self._in_use: set[Session] = set()
        self._hung_up = False
        self._failed = _FailedAttempt()
        self._asking = asyncio.Lock()

    async def open(self) -> None:
        """Make ready; connections are made when they are needed.

        Raises:
            ConfigurationError: Libpq cannot read the address.
        """
        if self._pool is not None:
            return
        self._address = address(self._options.url)
        self._pool = AsyncConnectionPool(
            complete(self._address),
            connection_class=_noting(self._failed),
            kwargs=self._arguments,
            min_size=0,
            max_size=self._options.connections,
            timeout=self._options.acquire_seconds,
            reconnect_timeout=self._options.acquire_seconds,
            num_workers=2,
            configure=self._configure,
            open=False,
        )
        await self._pool.open()

    async def close(self) -> None:
        """Close all; a later use raises SinkUnavailable."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close(timeout=HUNG_UP_SECONDS if self._hung_up else CLOSING_SECONDS)

    def hang_up(self) -> None:
        """Cut the sessions in use and make no more: nobody waits for the server any longer.

        A query that is cancelled would ask a silent server to cancel it, for ten seconds.
        """
        self._hung_up = True
        for session in self._in_use:
            with (
                suppress(OSError, psycopg.Error),
                socket.socket(fileno=os.dup(session.fileno())) as line,
            ):
                line.shutdown(socket.SHUT_RDWR)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def session(self, *, seconds: float | None = None) -> AsyncIterator[Session]:
        """One session for the body, in autocommit.

        Args:
            seconds: The whole body's time; by default twice the statement timeout.

        Raises:
            SinkUnavailable: No server, or it fell silent.
            ConfigurationError, SchemaMismatch: A person has to act.
        """
        limit = self._options.statement_seconds * 2 if seconds is None else seconds
        with translated():
            try:
                async with asyncio.timeout(limit), self._acquired() as session:
                    yield session
            except TimeoutError as error:
                if self._pool is not None:
                    await self._pool.drain()
                raise SinkTooSlow(f"PostgreSQL did not answer within {limit:g} s") from error

    @property
    def statement_seconds(self) -> float:
        """The longest a statement of a batch may take."""
        return self._options.statement_seconds

    @asynccontextmanager
    async def transaction(self, *, seconds: float | None = None) -> AsyncIterator[Session]:
        """One session inside a transaction that commits at the end of the body."""
        async with self.session(seconds=seconds) as session, session.transaction():
            yield session

    async def all_rows(
        self, kind: type[T], query: str, parameters: Parameters | None = None
    ) -> list[T]:
        """What one query answers, each row made one of these by the names of its columns."""
        async with self.session() as session:
            return await all_rows(session, kind, query, parameters)

    async def first_row(self, query: str, parameters: Parameters | None = None) -> TupleRow | None:
        """The first row that one query answers."""
        async with self.session() as session:
            return await (await session.execute(query.encode(), parameters)).fetchone()

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Session]:
        pool = self._pool
        if pool is None or self._hung_up:
            raise SinkUnavailable("the connections to PostgreSQL are closed")
        try:
            session = await _taken(pool)
        except POOL_ERRORS as error:
            raise await self._reason(self._target()) from error
        self._in_use.add(session)
        try:
            if (refusal := self._refused.get(session)) is not None:
                await session.close()  # another one may be as it has to be
                raise refusal
            yield session
        except psycopg.Error as error:
            if session.closed or spends_session(error):
                await session.close()
                await pool.drain()
            raise
        finally:
            self._in_use.discard(session)
            await pool.putconn(session)

    async def _reason(self, target: Address) -> ProjectorError:
        """Why there is no connection: the pool does not tell, its last attempt does."""
        if len(self._in_use) >= self._options.connections:
            return SinkUnavailable(f"all {len(self._in_use)} connections to PostgreSQL are in use")
        async with self._asking:  # whoever waits beside us learns from the same question
            return await self._failed.explained(target)

    async def _configure(self, session: Session) -> None:
        session.adapters.register_dumper(JsonText, _JsonTextDumper)
        session.adapters.register_dumper(ArrayText, ArrayTextDumper)
        try:
            check_encrypted(self._target(), session)
            path = {"search_path": looking_in(self._options.control)}
            await prepare_async(session, {**PLANS, **self.time_outs(), **path})
        except ProjectorError as refusal:
            # Not raised here: the pool would take it for an outage and try for ever.
            self._refused[session] = refusal

    def _target(self) -> Address:
        if self._address is None:
            raise SinkUnavailable("the connections to PostgreSQL were never opened")
        return self._address

    def time_outs(self) -> Mapping[str, str]:
        """Of every session of the pool, below the lease expiration, as the server writes them."""
        options = self._options
        return {
            "statement_timeout": _milliseconds(options.statement_seconds),
            "lock_timeout": _milliseconds(options.lock_seconds),
            "idle_in_transaction_session_timeout": _milliseconds(
                options.idle_in_transaction_seconds
            ),
            # A host that was cut off says nothing; by itself the server asks after hours.
            "tcp_keepalives_idle": str(max(1, round(options.lock_seconds))),
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": _milliseconds(options.statement_seconds),
        }


async def all_rows(
    session: Session, kind: type[T], query: str, parameters: Parameters | None = None
) -> list[T]:
    """The same by a session that is there."""
    async with session.cursor(row_factory=class_row(kind)) as cursor:
        await cursor.execute(query.encode(), parameters)
        return await cursor.fetchall()


class _FailedAttempt:
    """The last attempt to connect, when it failed, and what the server meant."""

    def __init__(self) -> None:
        self._error: psycopg.Error | OSError | None = None
        self._reason: ProjectorError | None = None

    def note(self, error: psycopg.Error | OSError | None) -> None:
        """Keep the outcome of an attempt; None: it succeeded."""
        self._error, self._reason = error, None

    async def explained(self, target: Address) -> ProjectorError:
        """Why it failed; asks the server once per failure, however many want to know."""
        error, reason = self._error, self._reason
        if not isinstance(error, psycopg.Error):
            return SinkUnavailable(
                f"PostgreSQL does not answer{'' if error is None else f': {error}'}"
            )
        if reason is None:
            reason = await asyncio.to_thread(why_not, target, error)
            if self._error is error:
                self._reason = reason
        return reason


def _noting(failed: _FailedAttempt) -> type[Session]:
    """The class of sessions whose attempts to connect are noted: the pool itself tells nobody."""

    class NotedSession(AsyncConnection[TupleRow]):
        @classmethod
        @override
        async def connect(cls, *arguments: Any, **named: Any) -> Self:
            try:
                session = await super().connect(*arguments, **named)
            except (psycopg.Error, OSError) as error:
                failed.note(error)
                raise
            failed.note(None)
            return session

    return NotedSession


async def _taken(pool: AsyncConnectionPool[Session]) -> Session:
    """A session of the pool, unless the task was cancelled meanwhile.

    A cancellation that comes together with a session is lost on the way: the pool gives the session,
    and so does `wait_for` before Python 3.12. Whoever was to end would go on for ever.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    session = await pool.getconn()
    if task is not None and task.cancelling() > before:
        await pool.putconn(session)
        raise asyncio.CancelledError
    return session


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
