"""Why a server refuses a connection, by SQLSTATE: not in whatever language the server speaks.

A connection that was refused bears no SQLSTATE in the driver's error, since libpq keeps only the
server's sentence. Asked once more with the verbosity that prints the SQLSTATE in place of that sentence,
libpq does tell it. So one more attempt is made, only after one has failed.
Source: libpq, `PQsetErrorVerbosity`.
"""

from __future__ import annotations

import ctypes
import re
import selectors
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from projector.core.errors import ConfigurationError, ProjectorError, SinkRefused, SinkUnavailable
from projector.postgres.errors import Blame, blame, first_line

ONLY_SQLSTATE = 3
"""`PQERRORS_SQLSTATE`: severity and SQLSTATE, no sentence."""

ASK_SECONDS = 5.0

_SQLSTATE = re.compile(rb":  ([0-9A-Z]{5})$", re.MULTILINE)
_DONE = frozenset({pq.PollingStatus.OK, pq.PollingStatus.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What servers said to a connection; none of them when nobody answered."""

    sqlstates: tuple[str, ...] = ()
    needs_password: bool = False

    @property
    def is_mistake(self) -> bool:
        """Whether waiting does not help: every server that was asked wants a person to act."""
        if self.needs_password:
            return True
        return bool(self.sqlstates) and all(blame(one) is Blame.PERSON for one in self.sqlstates)


def refusal_of(error: psycopg.Error, conninfo: str) -> Refusal:
    """What stands behind a connection that failed; blocks for a moment when it has to ask."""
    if error.sqlstate is not None:
        return Refusal(sqlstates=(error.sqlstate,))
    if isinstance(error, psycopg.ProgrammingError | psycopg.errors.ConnectionTimeout):
        return Refusal()
    return ask(conninfo)


def connection_error(error: psycopg.Error, refusal: Refusal) -> ProjectorError:
    """The error of ours for a connection that failed."""
    text = first_line(error)
    if isinstance(error, psycopg.ProgrammingError):  # the driver cannot read what it was given
        return ConfigurationError(f"PROJECTOR_DATABASE_URL cannot be used: {text}")
    if refusal.is_mistake:
        return SinkRefused(f"PostgreSQL refuses the connection: {text}")
    return SinkUnavailable(
        f"PostgreSQL: {text} (is the server up, and PROJECTOR_DATABASE_URL right?)",
        sqlstate=next(iter(refusal.sqlstates), None),
    )


def ask(conninfo: str) -> Refusal:
    """Try to connect, and tell what the servers answered."""
    print_sqlstate = _verbosity_setter()
    if print_sqlstate is None:
        return Refusal()
    connection = pq.PGconn.connect_start(make_conninfo(conninfo).encode())
    try:
        pointer: int | None = getattr(connection, "pgconn_ptr", None)
        if pointer is not None:
            print_sqlstate(pointer, ONLY_SQLSTATE)
        _finish_connecting(connection)
        if connection.status == pq.ConnStatus.OK:
            return Refusal()
        found = _SQLSTATE.findall(connection.error_message)
        return Refusal(
            sqlstates=tuple(one.decode() for one in found),
            needs_password=connection.needs_password,
        )
    finally:
        connection.finish()


def _finish_connecting(connection: pq.abc.PGconn) -> None:
    deadline = time.monotonic() + ASK_SECONDS
    while connection.status != pq.ConnStatus.BAD:
        polled = connection.connect_poll()
        remaining = deadline - time.monotonic()
        if polled in _DONE or remaining <= 0:
            return
        reads = polled == pq.PollingStatus.READING
        with selectors.DefaultSelector() as selector:
            event = selectors.EVENT_READ if reads else selectors.EVENT_WRITE
            selector.register(connection.socket, event)
            selector.select(remaining)


@lru_cache(maxsize=1)
def _verbosity_setter() -> Callable[[int, int], int] | None:
    """`PQsetErrorVerbosity` of the very libpq that the driver uses; the driver does not offer it."""
    driver = sys.modules[pq.PGconn.__module__].__file__
    try:
        setter = ctypes.CDLL(driver).PQsetErrorVerbosity
    except (OSError, AttributeError):
        return None
    setter.argtypes = [ctypes.c_void_p, ctypes.c_int]
    setter.restype = ctypes.c_int
    found: Callable[[int, int], int] = setter
    return found
