from __future__ import annotations

import asyncio
import errno
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from projector.core.errors import ConfigurationError
from projector.core.health import Diagnosis, Health
from projector.telemetry.metrics import Metrics
from projector.web import door
from projector.web.server import serve

FINE = Diagnosis(health=Health.CURRENT, reason="complete and current", healthy=True)
SILENT = Diagnosis(health=Health.UNKNOWN, reason="PostgreSQL does not answer", healthy=False)


@asynccontextmanager
async def served(diagnosis: Diagnosis = FINE, **options: Any) -> AsyncIterator[int]:
    values: dict[str, Any] = {"host": "127.0.0.1", "port": 0} | options
    async with serve(metrics=Metrics(), health=lambda: diagnosis, **values) as port:
        yield port


async def answer(port: int, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.text()


def client(port: int, sent: bytes = b"") -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port))
    one.sendall(sent)
    one.setblocking(False)
    return one


async def end_of(one: socket.socket) -> bool:
    """Whether the other side hung up without a word."""
    try:
        async with asyncio.timeout(60):
            return await asyncio.get_running_loop().sock_recv(one, 1) == b""
    except ConnectionResetError:
        return True


async def test_it_lives_whatever_its_health_and_is_ready_only_with_it() -> None:
    async with served(SILENT) as port:
        assert await answer(port, "/livez") == (200, "alive\n")
        assert await answer(port, "/readyz") == (503, "unknown: PostgreSQL does not answer\n")
    async with served() as port:
        assert await answer(port, "/readyz") == (200, "current: complete and current\n")


async def test_a_client_is_told_that_its_connection_ends() -> None:
    """Or its next request goes where nobody listens any more."""
    async with served() as port, aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.post(f"http://127.0.0.1:{port}/livez") as response:
                assert response.headers["Connection"] == "close"


async def test_metrics_are_served_as_text() -> None:
    async with served() as port:
        status, text = await answer(port, "/metrics")
    assert status == 200
    assert "projector_leases_owned 0.0" in text


async def test_a_port_in_use_names_the_setting() -> None:
    async with served() as port:
        with pytest.raises(ConfigurationError, match="in use; set PROJECTOR_WEB_PORT"):
            async with served(port=port):
                pass


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_that_is_not_ours_names_the_setting(host: str) -> None:
    with pytest.raises(ConfigurationError, match="set PROJECTOR_WEB_HOST"):
        async with served(host=host):
            pass


async def test_what_ends_the_block_leaves_it_as_it_is() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with served():
            raise LookupError("mine")


async def test_half_a_request_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "CONNECTION_SECONDS", 0.2)
    async with served() as port:
        silent = client(port)
        half = client(port, b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        body = client(port, b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
        with silent, half, body:
            assert await end_of(silent)
            assert await end_of(half)
            async with asyncio.timeout(60):
                while await asyncio.get_running_loop().sock_recv(body, 4096):
                    pass


async def test_silent_clients_never_keep_a_probe_out() -> None:
    async with served() as port:
        crowd = [client(port) for _ in range(door.PLACES * 4)]
        try:
            for _ in range(3):
                assert (await answer(port, "/livez"))[0] == 200
            assert await end_of(crowd[0]), "the oldest gives way"
        finally:
            for one in crowd:
                one.close()


async def test_what_is_no_http_leaves_no_line(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as port:
        for sent in (b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\nx\r\n\r\n"):
            with client(port, sent) as one:
                await asyncio.sleep(0)
                async with asyncio.timeout(60):
                    while await asyncio.get_running_loop().sock_recv(one, 4096):
                        pass
        assert (await answer(port, "/nothing"))[0] == 404
    assert caplog.records == []


async def test_without_a_descriptor_one_line_says_so_and_accepting_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "PAUSE_SECONDS", 0.05)
    accept, tries = socket.socket.accept, 0

    def refused(one: socket.socket) -> tuple[socket.socket, Any]:
        nonlocal tries
        tries += 1
        if tries <= 5:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(one)

    monkeypatch.setattr(socket.socket, "accept", refused)
    with capture_logs() as told:
        async with served() as port:
            assert (await answer(port, "/livez"))[0] == 200
    assert tries > 5
    assert [entry["event"] for entry in told] == ["web_refusing"]


CROWDED = """
import asyncio, resource, sys
from projector.core.health import Diagnosis, Health
from projector.telemetry.metrics import Metrics
from projector.web.server import serve

async def main():
    fine = Diagnosis(health=Health.CURRENT, reason="", healthy=True)
    async with serve(host="127.0.0.1", port=0, metrics=Metrics(), health=lambda: fine) as port:
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
asyncio.run(main())
"""


async def test_seventy_silent_clients_at_a_limit_of_64_descriptors_cost_no_line() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CROWDED,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    crowd = [client(port) for _ in range(70)]
    try:
        for _ in range(3):
            assert await answer(port, "/livez") == (200, "alive\n")
    finally:
        for one in crowd:
            one.close()
        _, complaints = await process.communicate(b"")
    assert complaints == b""
    assert process.returncode == 0
