"""Ends a host with SIGKILL at a chosen point of its conversation with Cosmos DB or PostgreSQL.

What a host does is seen from outside only through its requests and its statements, so a list of
all of them, with the moments before, during and after each, is a list of all states in which a
crash can leave the world. The driver's own process swaps the transport of the SDK and the
connection class of psycopg for watched ones; the service itself has no hooks.

A point is `role | operation | phase`: who (the role of the task), what, and when: `before` it is
sent, while the server works on it (`sent`, PostgreSQL only), and when its answer is there
(`after`). COMMIT is an operation of its own and names the last statement of its transaction.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import pkgutil
import re
import signal
import zlib
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import Row
from typing_extensions import override

import projector.cosmos.client
import projector.postgres
import projector.postgres.connections
from projector.cosmos.transport import Transport

BEFORE, SENT, AFTER = "before", "sent", "after"
SHOWN_CHARACTERS = 40

# Statements that are put together, by their beginning.
COMPOSED = {
    "WITH fence AS ( UPDATE ranges": "batch in one statement",
    "WITH fence AS ( SELECT": "batch under the lock",
    "UPDATE ranges SET continuation": "statements.FENCE",
    "WITH entries AS": "quarantine.STORE",
    "UPDATE projector_g1.cart_items t SET rej": "quarantine.MARK",
    "WITH seen AS": "sweep.COLLECT",
    "SELECT set_config('timezone'": "settings of a new session",
    "SELECT set_config('statement_timeout'": "settings of a scan",
    "SELECT container_rid FROM projector.source": "the source that is copied",
    "LOCK TABLE projector.source": "the right to open ranges",
    "UPDATE ranges SET seen_group = NULL": "forgetting a seen group",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to die: at the n-th time a point is reached."""

    point: str
    occurrence: int = 1


@dataclass(kw_only=True)
class Points:
    """Counts the points reached, writes them down, and ends the process at the target."""

    target: Target | None = None
    record: Path | None = None
    _reached: Counter[str] = field(default_factory=Counter)

    def reach(self, operation: str, phase: str) -> None:
        """This point is reached now; may not return."""
        point = f"{_role()} | {operation} | {phase}"
        self._reached[point] += 1
        if self.record is not None:
            with self.record.open("a") as file:
                file.write(point + "\n")
        if self.target == Target(point=point, occurrence=self._reached[point]):
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(
        self, operation: str, conversation: Generator[Any, Any, Any]
    ) -> Generator[Any, Any, Any]:
        """The same conversation with PostgreSQL; the first wait means that all was sent."""
        self.reach(operation, BEFORE)
        try:
            wanted = next(conversation)
            self.reach(operation, SENT)
            while True:
                ready = yield wanted
                wanted = conversation.send(ready)
        except StopIteration as end:
            self.reach(operation, AFTER)
            return end.value


def install(points: Points) -> None:
    """Watches everything this process says to Cosmos DB and PostgreSQL from now on."""

    class WatchedConnection(psycopg.AsyncConnection[Row]):
        last = "nothing"

        @override
        async def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
            operation = _operation_of(gen, self)
            return await super().wait(points.watched(operation, gen), *arguments, **options)

    class WatchedTransport(Transport):
        @override
        async def send(self, request: Any, **options: Any) -> Any:
            operation = _request_of(request)
            points.reach(operation, BEFORE)
            answer = await super().send(request, **options)
            points.reach(operation, AFTER)
            return answer

    setattr(projector.postgres.connections, "AsyncConnection", WatchedConnection)  # noqa: B010 - mypy takes classes for constants
    setattr(projector.cosmos.client, "Transport", WatchedTransport)  # noqa: B010 - the same


def _role() -> str:
    """The role of the task: `range:7:applier` is an applier whatever its range."""
    task = asyncio.current_task()
    name = "" if task is None else task.get_name()
    if name.startswith("Task-"):
        return "host"
    if name.startswith("pool-"):
        return "pool"
    return re.sub(r"[: ]*\d+$", "", re.sub(r"^(range:[^:]*|host):", "", name)) or "nobody"


def _operation_of(gen: Any, connection: Any) -> str:
    """What a generator of psycopg is about to do, from its own variables."""
    frame = getattr(gen, "gi_frame", None)
    known = {} if frame is None else frame.f_locals
    name = getattr(gen, "__qualname__", type(gen).__qualname__)
    if name.endswith("._execute_gen"):
        connection.last = _statement(str(known["query"]))
        return str(connection.last)
    if name.endswith("._enter_gen"):
        idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
        return "BEGIN" if idle else "SAVEPOINT"
    if name.endswith("._exit_gen"):
        outer = known["self"]._outer_transaction
        if known.get("exc_type") is not None:
            return "ROLLBACK" if outer else "ROLLBACK TO SAVEPOINT"
        return f"COMMIT after {connection.last}" if outer else "RELEASE SAVEPOINT"
    return name


def _statement(text: str) -> str:
    """The name of a statement's constant where it has one, else its beginning."""
    found = _NAMES.get(" ".join(text.split()))
    if found is not None:
        return found
    begun = " ".join(text.split())
    for beginning, name in COMPOSED.items():
        if begun.startswith(beginning):
            return name
    begun = begun[:SHOWN_CHARACTERS]
    return f"{begun}... #{zlib.crc32(text.encode()) & 0xFFFF:04x}"


def _statement_names() -> dict[str, str]:
    names: dict[str, str] = {}
    for module in pkgutil.iter_modules(projector.postgres.__path__):
        if module.name.startswith("embedded"):
            continue
        loaded = importlib.import_module(f"projector.postgres.{module.name}")
        for name, value in vars(loaded).items():
            if name.isupper() and isinstance(value, str):
                names.setdefault(" ".join(value.split()), f"{module.name}.{name}")
    return names


_NAMES = _statement_names()


def _request_of(request: Any) -> str:
    """Method and kind of resource of a request of the SDK."""
    parts = [unquote(part) for part in urlsplit(request.url).path.split("/") if part]
    headers = {name.lower(): value for name, value in request.headers.items()}
    kind = parts[-1] if len(parts) % 2 else "/".join(parts[-2:-1])
    place = parts[3] if len(parts) > 3 else ""
    if kind == "docs" and "a-im" in headers:
        return f"GET change feed of {place}"
    if headers.get("x-ms-documentdb-isquery", "").lower() == "true":
        return f"query {place}"
    named = next((f" {end}" for end in (".info", ".lock") if parts and parts[-1].endswith(end)), "")
    several = "s" if len(parts) % 2 else ""
    return f"{request.method} {place} {kind or 'account'}{named}".replace(
        "docs", f"document{several}"
    )
