"""The console over HTTP: what a host shows, live, and to whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from cosmos_emulator import EmulatorServer
from projector.core.errors import SinkUnavailable
from projector.core.health import Diagnosis, Health
from projector.ports.console import Board
from projector.ports.quarantine import QuarantinedDocument
from projector.telemetry.metrics import Metrics
from projector.web import console, door
from projector.web.access import COOKIE, Access
from projector.web.console import ConsoleRoutes
from projector.web.server import serve
from tests.integration.verify.support import paired, until
from tests.unit.web.pages import HOSTILE, Page, board, document, facts

TOKEN = "a-token-of-some-length"
FINE = Diagnosis(health=Health.CURRENT, reason="complete and current", healthy=True)
PAGES = ("/", "/events", "/quarantine/7", "/console.js", "/console.css", "/console.svg")


class Shown:
    """A view that shows what it is told to."""

    def __init__(self) -> None:
        self.now = board()
        self.fails = False

    async def board(self) -> Board:
        return self.now

    async def document(self, entry_id: int) -> QuarantinedDocument | None:
        if self.fails:
            raise SinkUnavailable("PostgreSQL is down")
        return document(HOSTILE.encode()) if entry_id == 7 else None


@asynccontextmanager
async def served(view: Shown, **access: Any) -> AsyncIterator[aiohttp.ClientSession]:
    rules: dict[str, Any] = {"host": "127.0.0.1", "token": None, "names": []}
    routes = ConsoleRoutes(view, Access.of(**rules | access))
    async with (
        serve(
            host="127.0.0.1",
            port=0,
            metrics=Metrics(),
            health=lambda: FINE,
            console=routes,
        ) as port,
        aiohttp.ClientSession(
            f"http://127.0.0.1:{port}",
            timeout=aiohttp.ClientTimeout(total=30),
            cookie_jar=aiohttp.CookieJar(unsafe=True),
        ) as session,
    ):
        yield session


async def events(stream: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
    async for line in stream.content:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


@pytest.mark.parametrize(
    "path", [*PAGES, "/quarantine/8", "/quarantine/x", "/quarantine/" + "9" * 40]
)
async def test_every_answer_bears_the_headers(path: str) -> None:
    async with served(Shown()) as session, session.get(path) as answer:
        assert answer.status == (404 if path not in PAGES else 200)
        for name, value in console.HEADERS.items():
            if name != "Cache-Control":
                assert answer.headers[name] == value, name
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy


async def test_the_page_needs_no_script_and_names_only_what_is_served() -> None:
    async with served(Shown()) as session:
        async with session.get("/") as answer:
            page = Page(await answer.text())
        assert "The copy is complete and current." in page.words
        wanted = {one["src"] for one in page.all("script")} | {
            one["href"] for one in page.all("link") + page.all("a")
        }
        for path in sorted(one for one in wanted if one and one.startswith("/")):
            async with session.get(path) as answer:
                assert answer.status == 200, path


async def test_a_change_is_told_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "TELL_SECONDS", 0.01)
    view = Shown()
    async with served(view) as session, session.get("/events") as stream:
        assert stream.content_type == "text/event-stream"
        told = events(stream)
        first = await anext(told)
        assert {"verdict", "ranges", "title", "quarantine"} <= set(first)
        view.now = board(facts(0, heard=False), facts(1))
        changed = await anext(told)
        assert "unknown" in changed["verdict"]
        assert "quarantine" not in changed


async def test_a_stream_ends_by_itself_before_the_door_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert console.STREAM_SECONDS + console.TELL_SECONDS < door.CONNECTION_SECONDS
    monkeypatch.setattr(console, "TELL_SECONDS", 0.01)
    monkeypatch.setattr(console, "STREAM_SECONDS", 0.05)
    async with served(Shown()) as session, session.get("/events") as stream:
        assert (await stream.read()).startswith(b"retry: ")


async def test_listeners_are_few_and_leave_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "TELL_SECONDS", 0.01)
    async with served(Shown()) as session:
        crowd = [await session.get("/events") for _ in range(console.MOST_LISTENERS)]
        for one in crowd:
            await one.content.readline()
        async with session.get("/events") as late:
            assert late.status == 503
        async with session.get("/livez") as probe:
            assert probe.status == 200
        for one in crowd:
            one.close()

        async def let_in() -> bool:
            async with session.get("/events") as again:
                return again.status == 200

        await until(let_in, seconds=20)


@pytest.mark.parametrize("path", PAGES)
async def test_a_strangers_name_for_us_gets_nothing(path: str) -> None:
    async with (
        served(Shown()) as session,
        session.get(path, headers={"Host": "evil.example"}) as answer,
    ):
        assert answer.status == 421


async def test_an_open_address_without_a_token_has_no_console() -> None:
    async with served(Shown(), host="0.0.0.0") as session:  # noqa: S104
        for path in PAGES:
            async with session.get(path) as answer:
                assert answer.status == 403
                assert "PROJECTOR_WEB_TOKEN" in await answer.text()
        for path in ("/livez", "/readyz", "/metrics"):
            async with session.get(path, headers={"Host": "anything"}) as answer:
                assert answer.status == 200


async def test_the_token_opens_by_header_and_by_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "WRONG_TOKEN_SECONDS", 0.0)
    async with served(Shown(), host="0.0.0.0", token=TOKEN) as session:  # noqa: S104
        for path in ("/", "/events", "/quarantine/7"):
            async with session.get(path) as answer:
                assert answer.status == 401
        async with session.get("/", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 200
        for wrong in ({"token": "not-the-token-at-all"}, {}, {"token": TOKEN[:-1]}):
            async with session.post("/login", data=wrong) as answer:
                assert answer.status == 401
                assert "Set-Cookie" not in answer.headers
        async with session.post("/login", data={"token": "x" * 100_000}) as answer:
            assert answer.status == 413
        async with session.post("/login", data={"token": TOKEN}, allow_redirects=False) as answer:
            assert answer.status == 303
            assert answer.headers["Location"] == "/"
            cookie = answer.headers["Set-Cookie"]
            assert cookie.startswith(f"{COOKIE}=")
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert TOKEN not in cookie
        async with session.get("/") as answer:
            assert answer.status == 200


async def test_an_outage_is_said_where_the_document_would_be() -> None:
    view = Shown()
    view.fails = True
    async with served(view) as session, session.get("/quarantine/7") as answer:
        assert answer.status == 503
        assert "PostgreSQL is down" in await answer.text()


@asynccontextmanager
async def looking(port: int) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session


async def test_a_host_shows_its_copy_live(emulator: EmulatorServer, database_url: str) -> None:
    async with paired(emulator, database_url) as pair:
        await pair.lines(20)
        await pair.line(HOSTILE, "bad", quantity="many")
        pair.values["web_port"] = await free_port()
        with capture_logs() as told:
            async with pair.host(), looking(pair.values["web_port"]) as session:

                async def page() -> Page | None:
                    try:
                        async with session.get("/") as answer:
                            return Page(await answer.text())
                    except aiohttp.ClientConnectionError:
                        return None

                async def settled() -> Page | None:
                    shown = await page()
                    wanted = ("complete and current.", "bad_quantity", "carts.cart_items20")
                    return shown if shown and all(one in shown.words for one in wanted) else None

                shown = await until(settled)
                assert shown.all("img") == []
                [entry] = [
                    one["href"] for one in shown.all("a") if "quarantine" in (one["href"] or "")
                ]
                async with session.get(entry) as answer:
                    assert "alert(2)" in Page(await answer.text()).words
                await pair.line("cart-new", "line-new")
                await until(lambda: heard(session, "totals", ">21<"))
        assert not [one for one in told if one["log_level"] == "error"]


async def heard(session: aiohttp.ClientSession, part: str, text: str) -> bool:
    """Whether one stream tells it; a browser asks for the next one."""
    try:
        async with session.get("/events") as stream:
            async for one in events(stream):
                if text in one.get(part, ""):
                    return True
    except aiohttp.ClientError:  # a busy machine: the door was faster
        return False
    return False


async def free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port
