"""A PostgreSQL server of our own, for the demo, the tests and whoever has none.

One folder is one server: `data/` (the cluster), `password` (of the superuser, readable by us
alone), `port` (the last one, taken again when free) and two lock files. The server listens on
loopback TCP with a password (SCRAM) and on nothing else. It is not tuned, backed up or upgraded.

Every process that started or joined the server holds a shared lock on `users`; the last one to
leave stops it. The system drops the lock of a killed process, so a server left running by one is
joined by the next start and stopped at that one's end.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Self

import psycopg
from psycopg import sql

from projector.postgres.embedded_cluster import HOST, USER, Cluster
from projector.postgres.embedded_programs import (
    EmbeddedPostgresError,
    find_programs,
    last_lines,
)
from projector.postgres.errors import refusal_of

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

MAINTENANCE_DATABASE = "postgres"
DEFAULT_OPTIONS: Mapping[str, str] = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
RETRY_SECONDS = 0.2
LOCK_ATTEMPTS = 3
"""A start or a stop by another process takes as long as its time-out allows, or that of a retry."""

OWN = 0o600


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def exists_in(folder: Path) -> bool:
    """Whether a server was made there; looking makes none."""
    return (folder / "data" / "PG_VERSION").exists()


def _say_nothing(_line: str) -> None:
    pass


class EmbeddedPostgres:
    """The server of one folder: start, use `url`, stop; also as a (async) context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        database: str = "projector",
        options: Mapping[str, str] | None = None,
        timeout_seconds: float = 60.0,
        announce: Callable[[str], None] = _say_nothing,
    ) -> None:
        """Describe the server; nothing happens before `start`.

        Args:
            folder: Where it lives; made when missing.
            port: 0 takes the last port again when it is free, else any free one.
            database: The one that `url` names; created when missing.
            options: Server settings beside or instead of `DEFAULT_OPTIONS`; a server that is
                already running keeps its own.
            timeout_seconds: For each of: creating the cluster, starting, stopping.
            announce: Told, in one line, when data or programs had to be placed elsewhere.
        """
        self._folder = folder.resolve()
        self._wanted_port = port
        self._database = database
        self._options = {**DEFAULT_OPTIONS, **(options or {})}
        self._timeout_seconds = timeout_seconds
        self._announce = announce
        self._cluster = Cluster(self._folder, timeout_seconds=timeout_seconds, announce=announce)
        self._users: IO[str] | None = None
        self._port: int | None = None
        self._password = ""

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        if self._port is None:
            raise EmbeddedPostgresError("the embedded PostgreSQL is not started")
        return self._port

    @property
    def url(self) -> str:
        """Connection URL of the database, password included: not for logs."""
        return self.url_of(self._database)

    def url_of(self, database: str) -> str:
        """Connection URL of another database of the same server."""
        return f"postgresql://{USER}:{self._password}@{HOST}:{self.port}/{database}"

    @property
    def log_path(self) -> Path:
        """Where the server writes its log."""
        return self._cluster.log_path

    @property
    def pid(self) -> int | None:
        """Process id of the server; None when it is not running."""
        running = self._cluster.running()
        return None if running is None else running.pid

    def start(self) -> None:
        """Starts the server, or joins the one that runs in this folder already.

        Raises:
            EmbeddedPostgresError: It cannot be done; the text says why and what to do.
        """
        if self._users is not None:
            return
        with self._lock():
            programs = find_programs(self._cluster.data, self._announce)
            self._password = self._read_or_make_password()
            self._cluster.create(programs, self._password)
            running = self._cluster.running() or self._cluster.launch(
                programs, self._options, self._wanted_port
            )
            self._port = running.port
            self._create_database()
            self._users = self._join_users()

    def revive(self) -> bool:
        """Starts a server that was killed under its users, on the port they know; True if it was.

        Raises:
            EmbeddedPostgresError: It cannot be done now.
        """
        with self._lock():
            if self._users is None or self._cluster.running() is not None:
                return False
            programs = find_programs(self._cluster.data, self._announce)
            self._cluster.launch(programs, self._options, self.port)
        return True

    def stop(self) -> None:
        """Leaves the server; stops it, ending open transactions, when nobody else uses it."""
        if self._users is None:
            return
        with self._lock():
            if self._leave_users():
                self._cluster.halt()
        self._port = None

    def remove(self) -> None:
        """Stops the server and deletes its data and password, for a fresh start.

        Raises:
            EmbeddedPostgresError: Another process is using the server.
        """
        if not self._folder.exists():
            return
        self.stop()
        with self._lock():
            self._users = self._join_users()
            if not self._leave_users():
                raise EmbeddedPostgresError(
                    f"the embedded PostgreSQL in {self._folder} is in use by another process"
                )
            self._cluster.halt()
            self._cluster.remove()
            (self._folder / "password").unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Starts."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Starts beside the loop; a cancelled start is undone before the cancellation goes on."""
        starting = asyncio.get_running_loop().run_in_executor(None, self.start)
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(EmbeddedPostgresError):
                await starting
            await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops beside the loop."""
        await asyncio.to_thread(self.stop)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Keeps other processes from starting, stopping or removing the same server."""
        with self._own_file("lock") as file:
            deadline = time.monotonic() + LOCK_ATTEMPTS * self._timeout_seconds
            while not _locked(file):
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"{self._folder / 'lock'} is held by another process; end it, or remove the file"
                    )
                time.sleep(RETRY_SECONDS)
            yield

    def _join_users(self) -> IO[str]:
        file = self._own_file("users")
        fcntl.flock(file, fcntl.LOCK_SH)
        return file

    def _own_file(self, name: str) -> IO[str]:
        """A lock file that nobody else can open, since whoever can open it can hold it for ever."""
        path = self._folder / name
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, OWN)
            os.fchmod(number, OWN)
        except OSError as error:
            raise EmbeddedPostgresError(
                f"{self._folder} cannot be written: {error.strerror}"
            ) from error
        return os.fdopen(number, "r+")

    def _leave_users(self) -> bool:
        """Gives up our share; True when nobody else holds one."""
        if self._users is None:
            return False
        file, self._users = self._users, None
        with file:
            return _locked(file)

    def _read_or_make_password(self) -> str:
        path = self._folder / "password"
        if path.exists():
            return path.read_text().strip()
        if self._cluster.data.exists():
            raise EmbeddedPostgresError(
                f"{path} is gone, so {self._cluster.data} cannot be opened;"
                f" remove {self._folder} to start anew"
            )
        password = secrets.token_urlsafe(24)
        # Whole or not there: an empty file left by a kill would lock us out of the next cluster.
        staging = self._folder / "password.new"
        staging.unlink(missing_ok=True)
        staging.touch(mode=0o600)
        staging.write_text(password)
        staging.rename(path)
        return password

    def _create_database(self) -> None:
        with self._connect() as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [self._database]
            ).fetchone()
            if found is None:
                name = sql.Identifier(self._database)
                connection.execute(sql.SQL("CREATE DATABASE {}").format(name))

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Connects as the superuser, waiting for a server that another process just started."""
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            try:
                return psycopg.connect(
                    self.url_of(MAINTENANCE_DATABASE), autocommit=True, connect_timeout=5
                )
            except psycopg.OperationalError as error:
                refused = refusal_of(error, self.url_of(MAINTENANCE_DATABASE)).is_mistake
                if refused or time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"PostgreSQL in {self._folder} refuses us: {last_lines(str(error))}"
                    ) from error
                time.sleep(RETRY_SECONDS)
