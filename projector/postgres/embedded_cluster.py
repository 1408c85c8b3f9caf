"""The data folder of the embedded PostgreSQL: made whole or not at all, started, found, ended.

A cluster appears under its final name only when it is complete, so a kill during its creation
costs nothing. A server counts as running only if a live process works inside the data folder:
the number in `postmaster.pid` alone may by now belong to another program. A cluster made by
another major version is refused, never upgraded. Who uses the server is not decided here.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from projector.postgres.embedded_programs import (
    EmbeddedPostgresError,
    Programs,
    last_lines,
    own_folder,
    short_hash,
)

HOST = "127.0.0.1"
USER = "postgres"
START_ATTEMPTS = 5
RETRY_SECONDS = 0.2
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmaster:
    """The running server, as its `postmaster.pid` describes it."""

    pid: int
    port: int


class Cluster:
    """`data/` in the folder of the server, or wherever it had to be placed."""

    def __init__(
        self, folder: Path, *, timeout_seconds: float, announce: Callable[[str], None]
    ) -> None:
        """Describe it; `timeout_seconds` is for each of creating, starting and ending."""
        self._folder = folder
        self._timeout_seconds = timeout_seconds
        self._announce = announce
        self._log_seen_bytes = 0

    @property
    def data(self) -> Path:
        """The data folder, or a link to it."""
        return self._folder / "data"

    @property
    def log_path(self) -> Path:
        """Where the server writes its log."""
        return self.data / "server.log"

    def create(self, programs: Programs, password: str) -> None:
        """Makes the cluster unless it is there.

        Raises:
            EmbeddedPostgresError: It cannot be made, or another major version made it.
        """
        version = self.data / "PG_VERSION"
        if version.exists():
            self._check_version(programs, version.read_text().strip())
            return
        home = self._home(programs)
        staging = home / "data.new"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=home) as secret:
            secret.write(f"{password}\n")
            secret.flush()
            if programs.account is not None:
                programs.account.take(staging)
                programs.account.take(Path(secret.name))
            self._initdb(programs, staging, secret.name)
        staging.rename(home / "data")
        if home != self._folder:
            self.data.unlink(missing_ok=True)
            self.data.symlink_to(home / "data")

    def running(self) -> Postmaster | None:
        """The live server of this folder; a file left by a dead one does not count."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            found = Postmaster(pid=int(lines[0]), port=int(lines[3]))
        except (OSError, ValueError, IndexError):
            return None
        return found if self._works_here(found.pid) else None

    def launch(self, programs: Programs, options: Mapping[str, str], port: int) -> Postmaster:
        """Starts the server and waits until it accepts connections.

        Args:
            programs: What to run, and as whom.
            options: Server settings by name.
            port: 0 takes the last port again when it is free, else any free one.

        Raises:
            EmbeddedPostgresError: It did not start; with the end of its log.
        """
        self._drop_stale_pid_file()
        for attempt in range(START_ATTEMPTS):
            chosen = port or self._choose_port(again=attempt > 0)
            try:
                self._pg_ctl_start(programs, {**options, "port": str(chosen)})
            except EmbeddedPostgresError as error:
                reason = self._new_log_lines()
                if attempt + 1 < START_ATTEMPTS and _may_retry(reason, port):
                    time.sleep(RETRY_SECONDS)
                    continue
                self.halt()
                raise EmbeddedPostgresError(
                    f"PostgreSQL did not start: {reason or error}"
                ) from error
            (self._folder / "port").write_text(str(chosen))
            break
        running = self.running()
        if running is None:
            raise EmbeddedPostgresError(f"PostgreSQL ended at once; see {self.log_path}")
        return running

    def halt(self) -> None:
        """Ends the server: fast shutdown, and if that takes too long, at once."""
        running = self.running()
        if running is None:
            return
        for how in (signal.SIGINT, signal.SIGQUIT):
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(running.pid).send_signal(how)
            deadline = time.monotonic() + self._timeout_seconds
            while time.monotonic() < deadline:
                if not self._works_here(running.pid):
                    return
                time.sleep(POLL_SECONDS)
        raise EmbeddedPostgresError(f"PostgreSQL (process {running.pid}) does not end")

    def remove(self) -> None:
        """Deletes the data of a server that is not running."""
        if self.data.is_symlink():
            shutil.rmtree(self.data.resolve().parent, ignore_errors=True)
            self.data.unlink()
        elif self.data.exists():
            shutil.rmtree(self.data)
        (self._folder / "port").unlink(missing_ok=True)

    def _initdb(self, programs: Programs, data: Path, password_file: str) -> None:
        programs.run(
            "initdb",
            f"--pgdata={data}",
            f"--username={USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            timeout_seconds=self._timeout_seconds,
        )

    def _check_version(self, programs: Programs, found: str) -> None:
        offered = programs.run("postgres", "--version", timeout_seconds=self._timeout_seconds)
        if f" {found}." not in offered:
            raise EmbeddedPostgresError(
                f"{self.data} was made by PostgreSQL {found}, but here is {offered.strip()};"
                f" remove {self._folder} to start anew"
            )

    def _home(self, programs: Programs) -> Path:
        """Where the cluster can be: our folder, or one that the server's account reaches."""
        if programs.can_enter(self._folder):
            return self._folder
        home = own_folder(f"projector-{short_hash(str(self._folder))}")
        self._announce(f"PostgreSQL keeps its data in {home}: it may not enter {self._folder}")
        return home

    def _works_here(self, pid: int) -> bool:
        try:
            return Path(psutil.Process(pid).cwd()) == self.data.resolve()
        except psutil.Error:  # gone, a zombie, or another account's: not ours
            return False

    def _pg_ctl_start(self, programs: Programs, settings: Mapping[str, str]) -> None:
        ours = {"listen_addresses": HOST, "unix_socket_directories": ""}
        options = [shlex.quote(f"--{name}={value}") for name, value in {**settings, **ours}.items()]
        self._log_seen_bytes = self.log_path.stat().st_size if self.log_path.exists() else 0
        programs.run(
            "pg_ctl",
            "start",
            "--wait",
            f"--timeout={self._timeout_seconds:.0f}",
            f"--pgdata={self.data.resolve()}",
            f"--log={self.log_path.resolve()}",
            f"--options={' '.join(options)}",
            timeout_seconds=self._timeout_seconds + 5,
        )

    def _choose_port(self, *, again: bool) -> int:
        last = self._folder / "port"
        if last.exists() and not again:
            return int(last.read_text())
        return _free_port()

    def _new_log_lines(self) -> str:
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._log_seen_bytes)
                return last_lines(log.read().decode(errors="replace"))
        except OSError:
            return ""

    def _drop_stale_pid_file(self) -> None:
        """Removes `postmaster.pid` when no process works in the data folder.

        PostgreSQL refuses to start while the number in it is alive, as it soon is again in a
        container. The file also guards against processes of a killed server that still write,
        so it stays while there is one.
        """
        data = self.data.resolve()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cwd() == str(data):
                    return
        (data / "postmaster.pid").unlink(missing_ok=True)


def _may_retry(log: str, wanted_port: int) -> bool:
    # The shared memory is held by processes of a killed server that have yet to notice its death.
    return "shared memory block" in log or (wanted_port == 0 and "could not bind" in log)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
