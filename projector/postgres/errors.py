"""What a server's error means for us: wait, ask a person, or blame the document.

Classes are values, so that a test can go through real SQLSTATEs. The default is to wait: an
outage mistaken for a bad document would lose data, the opposite costs time. Nothing above this
package sees a driver's exception.
Source: PostgreSQL documentation, appendix A (error codes).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from projector.core.errors import (
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


POOL_ERRORS = (PoolTimeout, PoolClosed, TooManyRequests)
"""What the pool raises; subclasses of OperationalError without a SQLSTATE."""
