"""Why a server refuses a connection, by SQLSTATE: not in whatever language the server speaks.

A connection that was refused bears no SQLSTATE in the driver's error, since libpq keeps only the
server's sentence. Asked once more with the verbosity that prints the SQLSTATE in place of that sentence,
libpq does tell it. So one more attempt is made, only after one has failed.
Source: libpq, `PQsetErrorVerbosity`.

What a server's error means for us: wait, ask a person, or blame the document.

Classes are values, so that a test can go through real SQLSTATEs. The default is to wait: an
outage mistaken for a bad document would lose data, the opposite costs time. Nothing above this
package sees a driver's exception.
Source: PostgreSQL documentation, appendix A (error codes).
"""

from __future__ import annotations

import ctypes
import re
import selectors
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from projector.core.errors import (
    ConfigurationError,
    ProjectorError,
    SchemaMismatch,
    SinkRefused,
    SinkTooSlow,
    SinkUnavailable,
)


class Blame(StrEnum):
    """Who has to act on an error."""

    OUTAGE = "outage"
    PERSON = "person"
    SCHEMA = "schema"
    DOCUMENT = "document"


# The longest prefix that matches decides.
BLAME_BY_SQLSTATE: dict[str, Blame] = {
    "08": Blame.OUTAGE,  # connection
    "0A": Blame.OUTAGE,  # a cached plan outlived its tables; a new attempt plans anew
    "21": Blame.PERSON,  # a statement of ours is wrong
    "22": Blame.DOCUMENT,  # a value that no column takes
    "23": Blame.DOCUMENT,  # a constraint, our last net
    "25": Blame.OUTAGE,  # transaction state: read-only standby, ended while idle
    "26": Blame.OUTAGE,  # a prepared statement vanished behind a connection pooler
    "28": Blame.PERSON,  # wrong user or password
    "3D": Blame.PERSON,  # no such database
    "3F": Blame.SCHEMA,  # no such schema
    "40": Blame.OUTAGE,  # serialization failure, deadlock
    "42": Blame.PERSON,  # a right is missing, a statement is wrong
    "42P05": Blame.OUTAGE,  # somebody else's prepared statement behind a connection pooler
    "42P01": Blame.SCHEMA,  # undefined table
    "42703": Blame.SCHEMA,  # undefined column
    "42704": Blame.SCHEMA,  # undefined object
    "42883": Blame.SCHEMA,  # undefined function
    "53": Blame.OUTAGE,  # memory, disk, connections used up
    "54": Blame.DOCUMENT,  # too large or too deep for the server
    "55": Blame.OUTAGE,  # locked, not ready
    "57": Blame.OUTAGE,  # cancelled, shut down, starting
    "58": Blame.OUTAGE,  # the server's disk or system
    "P0": Blame.PERSON,  # raised by somebody's trigger
    "XX": Blame.OUTAGE,  # the server is damaged: a person is told, no document is blamed
}


# These tell of the session, or of the server behind it: another session may do better. An old
# primary that lives on read-only, a pooler that mixes sessions up, a plan that outlived its tables.
SPENDS_SESSION = ("08", "0A", "25", "26", "42P05", "57P", "58", "XX")


# Time, memory or temporary files that a smaller batch would not use up.
TOO_MUCH = frozenset({"57014", "53200", "53400"})


def blame(sqlstate: str | None) -> Blame:
    """Who is to blame; an error without SQLSTATE is a broken connection."""
    if sqlstate is None:
        return Blame.OUTAGE
    for length in (5, 2):
        found = BLAME_BY_SQLSTATE.get(sqlstate[:length])
        if found is not None:
            return found
    return Blame.OUTAGE


def is_of_document(error: psycopg.Error) -> bool:
    """Whether a value of the batch caused it, so that the rest may be applied without it."""
    return blame(error.sqlstate) is Blame.DOCUMENT


def is_outage(error: psycopg.Error) -> bool:
    """Whether it passes by itself, and is no answer to what was asked."""
    return blame(error.sqlstate) is Blame.OUTAGE


def spends_session(error: psycopg.Error) -> bool:
    """Whether the session is not worth another try."""
    return error.sqlstate is not None and error.sqlstate.startswith(SPENDS_SESSION)


def translated_error(error: psycopg.Error) -> ProjectorError:
    """The error of ours that says what to do; one line, without the statement or its values."""
    text = first_line(error)
    match blame(error.sqlstate):
        case Blame.SCHEMA:
            return SchemaMismatch(
                f"the schema is not what this program needs ({text}); type: projector db upgrade"
            )
        case Blame.PERSON:
            return SinkRefused(f"PostgreSQL refuses: {text}")
        case Blame.OUTAGE | Blame.DOCUMENT:
            kind = SinkTooSlow if error.sqlstate in TOO_MUCH else SinkUnavailable
            return kind(f"PostgreSQL: {text}", sqlstate=error.sqlstate)


@contextmanager
def translated() -> Iterator[None]:
    """Turns errors of the driver and its pool into errors of ours."""
    try:
        yield
    except psycopg.Error as error:
        raise translated_error(error) from error
    except OSError as error:
        raise SinkUnavailable(f"PostgreSQL: {error}") from error


def first_line(error: BaseException) -> str:
    """The server's reason without its context; never empty."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


LOCK_TIMEOUT = "55P03"
WAITS = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
"""Somebody else holds a lock for longer than it is waited for."""

POOL_ERRORS = (PoolTimeout, PoolClosed, TooManyRequests)
"""What the pool raises; subclasses of OperationalError without a SQLSTATE."""


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
