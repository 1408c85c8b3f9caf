"""The console's routes: one page, its live stream, and a page for each quarantined document.

It only reads. A stream tells what changed, each second, and ends before its connection's time is over
(see `door`); the browser then asks for the next one, so that no listener holds a place for long.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files

from aiohttp import web

from projector.core.errors import ProjectorError
from projector.ports.console import ConsoleView
from projector.web import document
from projector.web.access import COOKIE, Access, Answer
from projector.web.page import parts, title

MOST_LISTENERS = 8
STREAM_SECONDS = 6.0
TELL_SECONDS = 1.0
RETRY_MILLISECONDS = 200
SIGNED_IN_SECONDS = 12 * 3600
WRONG_TOKEN_SECONDS = 0.5
MOST_FORM_BYTES = 8192
MOST_ENTRY_DIGITS = 18

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FILES: Mapping[str, str] = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "console.svg": "image/svg+xml",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ConsoleRoutes:
    """What is served beside health and metrics."""

    def __init__(self, view: ConsoleView, access: Access) -> None:
        """Serve that view under these rules."""
        self._view = view
        self._access = access
        self._listeners = 0
        self._guessing = asyncio.Lock()
        folder = files("projector.web") / "static"
        self._files = {name: (folder / name).read_bytes() for name in FILES}

    def routes(self) -> list[web.RouteDef]:
        """All of them, behind the rules."""
        return [
            web.get("/", self._guarded(self._page)),
            web.get("/events", self._guarded(self._events)),
            web.get("/quarantine/{entry}", self._guarded(self._document)),
            web.post("/login", self._guarded(self._login, signing_in=True)),
            *(
                web.get(f"/{name}", self._guarded(self._file, signing_in=True))
                for name in self._files
            ),
        ]

    def _guarded(self, handler: Handler, *, signing_in: bool = False) -> Handler:
        """The handler behind the rules; what signing in needs does without the token."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            match self._access.answer(request.headers, request.cookies):
                case Answer.WRONG_HOST:
                    told = document.message(
                        "Another name",
                        "This console is not asked for by that name: use its address, or put the name"
                        " into PROJECTOR_WEB_NAMES.",
                    )
                    return _html(told, status=421)
                case Answer.CLOSED:
                    return _html(document.message("Closed", CLOSED), status=403)
                case Answer.TOKEN_NEEDED if not signing_in:
                    return _html(document.login(), status=401)
                case _:
                    return await handler(request)

        return guarded

    async def _page(self, _: web.Request) -> web.Response:
        return _html(document.console(await self._view.board()))

    async def _document(self, request: web.Request) -> web.Response:
        number = request.match_info["entry"]
        if not (number.isascii() and number.isdigit() and len(number) <= MOST_ENTRY_DIGITS):
            return _nothing()
        try:
            found = await self._view.document(int(number))
        except ProjectorError as error:
            return _html(document.message("Not now", str(error)), status=503)
        return _nothing() if found is None else _html(document.quarantined(found))

    async def _file(self, request: web.Request) -> web.Response:
        name = request.path.removeprefix("/")
        headers = {**HEADERS, "Cache-Control": "no-cache"}
        return web.Response(
            body=self._files[name],
            content_type=FILES[name],
            charset=None if name.endswith("svg") else "utf-8",
            headers=headers,
        )

    async def _login(self, request: web.Request) -> web.Response:
        form = await request.post()
        token = form.get("token")
        if not isinstance(token, str) or not self._access.admits(token):
            async with self._guessing:  # one guess after the other
                await asyncio.sleep(WRONG_TOKEN_SECONDS)
            return _html(document.login(wrong=True), status=401)
        welcome = web.Response(status=303, headers={**HEADERS, "Location": "/"})
        welcome.set_cookie(
            COOKIE,
            self._access.cookie,
            max_age=SIGNED_IN_SECONDS,
            httponly=True,
            samesite="Strict",
        )
        return welcome

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._listeners >= MOST_LISTENERS:
            return web.Response(
                status=503, text="too many listeners\n", headers={**HEADERS, "Retry-After": "5"}
            )
        self._listeners += 1
        try:
            return await self._tell(request)
        finally:
            self._listeners -= 1

    async def _tell(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(f"retry: {RETRY_MILLISECONDS}\n\n".encode())
        loop = asyncio.get_running_loop()
        until = loop.time() + STREAM_SECONDS
        told: dict[str, str] = {}
        while loop.time() < until:
            board = await self._view.board()
            shown = {**parts(board), "title": title(board)}
            changed = {name: text for name, text in shown.items() if told.get(name) != text}
            told.update(changed)
            if changed:
                await stream.write(f"data: {json.dumps(changed)}\n\n".encode())
            await asyncio.sleep(TELL_SECONDS)
        return stream


CLOSED = "On an address that others can reach the console needs PROJECTOR_WEB_TOKEN, and that is not set."


def _html(text: str, *, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)


def _nothing() -> web.Response:
    return _html(document.message("Nothing here", "There is no entry of that number."), status=404)
