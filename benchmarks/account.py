"""The service and the hosts as processes of their own, as a user runs them.

The emulator is `projector emulator`; a host is `projector run` with default settings. Documents come
into a container by the emulator's bulk request, so that seeding costs seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from azure.cosmos import CosmosClient, PartitionKey

from benchmarks.documents import Document, chunks
from benchmarks.target import WrongResult
from benchmarks.timing import peak_resident_bytes, tree_seconds

DATABASE = "acme-webstore"
SEED_DOCUMENTS = 20_000
LOOK_SECONDS = 0.01
PATIENCE_SECONDS = 600.0
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A process that has ended, and what it took; `resident_bytes` at its peak."""

    code: int
    output: str
    errors: str
    seconds: float
    cpu_seconds: float
    resident_bytes: int

    def expect_success(self) -> Finished:
        """Raise WrongResult unless the exit code is 0."""
        if self.code != 0:
            raise WrongResult(f"exit code {self.code}: {self.errors[-500:]}")
        return self


class Running:
    """A process under way."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log
        self._began = time.perf_counter()
        self._peak_bytes = 0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def wait(self, *, seconds: float = PATIENCE_SECONDS) -> Finished:
        """Wait for the end."""
        deadline = time.perf_counter() + seconds
        while True:
            # Not the usage's own peak: that counts this process, which the other was forked from.
            self._peak_bytes = peak_resident_bytes(self.pid) or self._peak_bytes
            ended, status, usage = os.wait4(self.pid, os.WNOHANG)
            if ended:
                break
            if time.perf_counter() > deadline:
                raise WrongResult(f"a process was still running after {seconds:g} s")
            time.sleep(LOOK_SECONDS)
        took = time.perf_counter() - self._began
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return Finished(
            code=self.process.returncode,
            output=self.process.stdout.read() if self.process.stdout else "",
            errors=self._log.read_text(errors="replace"),
            seconds=took,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            resident_bytes=self._peak_bytes,
        )

    def stop(self) -> Finished:
        """End it by SIGTERM."""
        self.process.terminate()
        return self.wait(seconds=STOP_SECONDS)


@contextmanager
def running(arguments: Sequence[str], settings: Mapping[str, str]) -> Iterator[Running]:
    """`python` with these arguments and only these settings, ended with the block."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PROJECTOR_")}
    environment |= {f"PROJECTOR_{name}": value for name, value in settings.items()}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    with tempfile.TemporaryDirectory(prefix="projector-bench-") as folder:
        log = Path(folder) / "errors.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            yield Running(process, log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A running emulator."""

    endpoint: str
    key: str
    process: Running

    @property
    def cpu_seconds(self) -> float:
        """CPU of the emulator so far."""
        return tree_seconds(self.process.pid)

    def settings(
        self, *, container: str, url: str, run: str, instance: str = "a"
    ) -> dict[str, str]:
        """The settings of a host; `run` names its leases, so that each run starts anew."""
        return {
            "COSMOS_ENDPOINT": self.endpoint,
            "COSMOS_KEY": self.key,
            "COSMOS_CONTAINER": container,
            "LEASE_CONTAINER": f"lease-{run}",
            "INSTANCE_NAME": f"{run}-{instance}",
            "DATABASE_URL": url,
            "WEB_PORT": "0",
            "LOG_LEVEL": "warning",
        }

    def create(self, container: str, documents: Sequence[Document]) -> None:
        """Make a container over four physical partitions and fill it."""
        with CosmosClient(self.endpoint, self.key) as client:
            database = client.create_database_if_not_exists(DATABASE)
            database.create_container(container, PartitionKey("/cartId"), default_ttl=-1)
        for part in chunks(documents, SEED_DOCUMENTS):
            self.load(container, part)

    def load(self, container: str, documents: Sequence[Document]) -> None:
        """Upsert documents in one request."""
        body = b"\n".join(map(msgspec.json.encode, documents))
        path = f"_emulator/dbs/{DATABASE}/colls/{container}/bulk"
        request = urllib.request.Request(self.endpoint + path, data=body, method="POST")  # noqa: S310 - our own endpoint
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - the same
            loaded = json.load(answer)["loaded"]
        if loaded != len(documents):
            raise WrongResult(f"the emulator took {loaded} of {len(documents)} documents")


@contextmanager
def emulator() -> Iterator[Account]:
    """`projector emulator` on a free port."""
    arguments = ["-u", "-m", "projector", "emulator", "--port", "0", "--partitions", "4"]
    with running(arguments, {}) as process:
        said: dict[str, str] = {}
        for line in process.process.stdout or ():
            name, _, value = line.strip().partition(" ")
            if name == "ready":
                break
            said[name] = value
        yield Account(endpoint=said["endpoint"], key=said["key"], process=process)
