"""A real browser: whichever Chromium is installed, spoken to in its own protocol.

Its DevTools speak JSON over a WebSocket, so neither a driver of the same version nor a package is needed.
It resolves no name and reaches nothing but this machine.
Source: chromedevtools.github.io/devtools-protocol.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
START_SECONDS = 60.0
ANSWER_SECONDS = 60.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def installed() -> str | None:
    """The browser's program, if there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def running(program: str, folder: Path) -> Iterator[str]:
    """A browser of its own; yields where it can be spoken to."""
    command = [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield _address(process, folder / "DevToolsActivePort")
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], told: Path) -> str:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        lines = told.read_text().split() if told.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.02)
    raise RuntimeError(f"Chromium did not start; it ended with {process.poll()}")


class Tab:
    """One page of the browser, and all that it asked for or complained about."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._loaded = asyncio.Event()
        self._session: str | None = None

    async def attach(self) -> None:
        """Make a page of its own, with cookies of its own."""
        context = await self.ask("Target.createBrowserContext")
        target = await self.ask(
            "Target.createTarget",
            url="about:blank",
            browserContextId=context["browserContextId"],
        )
        session = await self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = session["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.ask(f"{domain}.enable")

    async def ask(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        told: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            told["sessionId"] = self._session
        await self._socket.send_json(told)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await answer

    async def hear(self) -> None:
        """Take what the browser says, until it is left."""
        async for message in self._socket:
            told = message.json()
            if "id" not in told:
                self._note(told["method"], told["params"])
            elif (answer := self._answers.pop(told["id"], None)) and not answer.done():
                if "error" in told:
                    answer.set_exception(RuntimeError(str(told["error"])))
                else:
                    answer.set_result(told["result"])

    def _note(self, event: str, told: Mapping[str, Any]) -> None:
        match event:
            case "Page.loadEventFired":
                self._loaded.set()
            case "Network.requestWillBeSent":
                self.requested.append(told["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if told["type"] in {"error", "warning", "assert"}:
                self.complaints.append(str(told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url')}")

    async def open(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        self._loaded.clear()
        await self.ask("Page.navigate", url=url)
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._loaded.wait()

    async def tell(self, expression: str) -> Any:
        """What an expression is on the page."""
        answer = await self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until it is true there."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while not await self.tell(expression):  # noqa: ASYNC110 - the page is in another process
                await asyncio.sleep(0.02)

    async def resize(self, width: int, height: int, *, scale: float = 1) -> None:
        """As a screen of that size."""
        await self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    async def prefer(self, **features: str) -> None:
        """Media features, with `_` for `-`, as `prefers_color_scheme="dark"`."""
        told = [
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()
        ]
        await self.ask("Emulation.setEmulatedMedia", features=told)

    async def without_script(self) -> None:
        """As for somebody who has switched it off; `tell` works all the same."""
        await self.ask("Emulation.setScriptExecutionDisabled", value=True)

    async def press(self, key: str, code: int) -> None:
        """A key, as the keyboard does."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        text = {"text": "\r"} if key == "Enter" else {}
        await self.ask("Input.dispatchKeyEvent", type="keyDown", **named, **text)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", **named)

    async def picture(self) -> bytes:
        """The whole page, as WebP."""
        size = (await self.ask("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        told = await self.ask(
            "Page.captureScreenshot",
            format="webp",
            quality=82,
            clip=clip,
            captureBeyondViewport=True,
        )
        return base64.b64decode(told["data"])


@asynccontextmanager
async def tab(address: str) -> AsyncIterator[Tab]:
    """A new page of the browser there."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(address, max_msg_size=0) as socket,
        asyncio.TaskGroup() as group,
    ):
        opened = Tab(socket)
        hearing = group.create_task(opened.hear())
        await opened.attach()
        try:
            yield opened
        finally:
            hearing.cancel()
