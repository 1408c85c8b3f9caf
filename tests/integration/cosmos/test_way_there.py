"""What lies between this machine and the account: proxies, certificates, clocks, silence."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from cosmos_emulator import EmulatorServer
from projector.core.errors import ConfigurationError, ProjectorError, SourceUnavailable
from projector.cosmos.change_source import CosmosChangeSource
from projector.cosmos.client import CosmosAccount, CosmosGateway
from projector.cosmos.transport import proxy_for
from tests.fixtures.emulator import running_emulator
from tests.integration.cosmos.support import CART, account_of, emulated_world

ELSEWHERE = "acme.documents.example"
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@dataclass
class Proxy:
    """A real proxy on this machine, which finds the emulator behind every name."""

    leads_to: int
    password: str | None = None
    port: int = 0
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *headers = head.decode("latin-1").split("\r\n")
        self.asked.append(line.rpartition(" ")[0])
        told = [one for one in headers if one.lower().startswith("proxy-authorization:")]
        wanted = base64.b64encode(f"me:{self.password}".encode()).decode()
        if self.password is not None and not (told and told[0].endswith(wanted)):
            writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        up, down = await asyncio.open_connection("127.0.0.1", self.leads_to)
        if line.startswith("CONNECT "):
            writer.write(b"HTTP/1.1 200 There you are\r\n\r\n")
        else:
            method, url, version = line.split(" ")
            path = "/" + url.split("/", 3)[3]
            down.write("\r\n".join([f"{method} {path} {version}", *headers]).encode("latin-1"))
        await asyncio.gather(_relay(reader, down), _relay(up, writer))


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while block := await reader.read(65_536):
            writer.write(block)
    except ConnectionError:
        pass
    writer.close()


@asynccontextmanager
async def proxy_before(
    emulator: EmulatorServer, *, password: str | None = None
) -> AsyncIterator[Proxy]:
    proxy = Proxy(leads_to=urlsplit(emulator.endpoint).port or 0, password=password)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()


def elsewhere(emulator: EmulatorServer, scheme: str = "http") -> CosmosAccount:
    """The account under a name that only the proxy can find."""
    return account_of(emulator, endpoint=f"{scheme}://{ELSEWHERE}:8081/", verify_tls=False)


async def refusal(account: CosmosAccount) -> ProjectorError:
    async with CosmosGateway(account) as gateway:
        with pytest.raises(ProjectorError) as caught:
            await CosmosChangeSource(gateway, CART).container_rid()
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("scheme", "variable"),
    [("http", "HTTP_PROXY"), ("https", "HTTPS_PROXY"), ("https", "https_proxy")],
)
@pytest.mark.parametrize("user", ["", "me:s3cret-word@"])
async def test_the_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, scheme: str, variable: str, user: str
) -> None:
    async with (
        running_emulator(https=scheme == "https") as emulator,
        emulated_world(emulator, verify_tls=False),
        proxy_before(emulator, password="s3cret-word" if user else None) as proxy,
    ):
        monkeypatch.setenv(variable, f"http://{user}127.0.0.1:{proxy.port}")
        async with CosmosGateway(elsewhere(emulator, scheme)) as gateway:
            source = CosmosChangeSource(gateway, CART)
            assert await source.container_rid()
            assert await source.physical_ranges()
            assert "s3cret" not in str(gateway.label(CART))
    assert proxy.asked
    assert all(ELSEWHERE in one for one in proxy.asked)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_a_password_is_a_mistake_that_is_named(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    async with running_emulator() as emulator, proxy_before(emulator, password="other") as proxy:
        monkeypatch.setenv(
            f"{scheme.upper()}_PROXY", f"http://me:s3cret-word@127.0.0.1:{proxy.port}"
        )
        error = await refusal(elsewhere(emulator, scheme))
    assert isinstance(error, ConfigurationError)
    assert "407" in str(error)
    assert f"127.0.0.1:{proxy.port}" in str(error)
    assert "s3cret" not in str(error)


async def test_a_proxy_that_is_down_is_an_outage_that_names_it(
    monkeypatch: pytest.MonkeyPatch, emulator: EmulatorServer
) -> None:
    async with proxy_before(emulator) as proxy:
        pass
    monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
    error = await refusal(elsewhere(emulator))
    assert isinstance(error, SourceUnavailable)
    assert f"through the proxy 127.0.0.1:{proxy.port}" in str(error)


def test_no_proxy_and_this_machine_are_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "intern.example,acme.example:8443")
    for direct in (
        "http://127.0.0.1:8081/",
        "http://127.8.8.8/",
        "http://[::1]:8081/",
        "http://localhost:8081/",
        "http://cosmos.intern.example/",
        "https://acme.documents.azure.com/",
    ):
        assert proxy_for(direct) is None
    assert proxy_for("http://acme.documents.azure.com/") == "http://proxy:3128"


@pytest.mark.parametrize("named", ["socks5://proxy:1080", "http://"])
def test_a_proxy_that_nobody_speaks_to_is_refused(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", named)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
        proxy_for("https://acme.documents.azure.com/")


async def test_a_certificate_is_checked_on_this_machine_too() -> None:
    async with running_emulator(https=True) as emulator:
        error = await refusal(account_of(emulator))
        assert isinstance(error, ConfigurationError)
        assert "PROJECTOR_COSMOS_VERIFY_TLS" in str(error)
        async with emulated_world(emulator, verify_tls=False) as world:
            assert await world.source.container_rid()


@pytest.mark.parametrize(
    ("minutes", "words"), [(20, "20 minutes behind"), (-20, "20 minutes ahead")]
)
async def test_a_wrong_clock_is_told_as_one(minutes: int, words: str) -> None:
    async with running_emulator(now=lambda: time.time() + minutes * 60) as emulator:
        error = await refusal(account_of(emulator))
    assert isinstance(error, ConfigurationError)
    assert words in str(error)


async def test_a_clock_that_goes_wrong_later_is_told_by_the_feed_too() -> None:
    offset_seconds = 0
    async with (
        running_emulator(now=lambda: time.time() + offset_seconds) as emulator,
        emulated_world(emulator) as world,
    ):
        (target, *_) = await world.targets()
        offset_seconds = 1200
        with pytest.raises(ConfigurationError, match="20 minutes behind"):
            await world.source.read_page(target, None, max_documents=10)


async def test_a_host_that_nobody_knows_is_a_mistake_at_the_start(
    emulator: EmulatorServer,
) -> None:
    error = await refusal(account_of(emulator, endpoint="http://acme.invalid:8081/"))
    assert isinstance(error, ConfigurationError)
    assert "PROJECTOR_COSMOS_ENDPOINT" in str(error)


async def test_an_account_that_falls_silent_is_told_once(
    emulator: EmulatorServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with emulated_world(emulator) as world:
        (target, *_) = await world.targets()
        await world.fault(operation="read_account", status=503)
        async with world.gateway.container(CART) as container:
            endpoints: Any = container.client_connection._global_endpoint_manager

        async def refreshed() -> None:
            endpoints.refresh_needed = True
            await world.source.read_page(target, None, max_documents=10)
            await asyncio.wait([endpoints.refresh_task])

        with capture_logs() as told:
            for _ in range(2):
                await refreshed()
                for _ in range(5):
                    await world.source.read_page(target, None, max_documents=10)
            await world.heal()
            await refreshed()
    events = [one["event"] for one in told if one["event"].startswith("account_")]
    assert events == ["account_silent", "account_back"]
    assert not caplog.records
