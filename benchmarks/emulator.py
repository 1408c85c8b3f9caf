"""What the emulator costs: its start, memory for a document, and pages of a thousand.

`python -m benchmarks.emulator`. CPU time is what counts on a machine with other work; the time that a
client waits is told beside it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import psutil

DOCUMENTS, PAGE, ROUNDS = 100_000, 1_000, 60
CONTAINER = "dbs/bench/colls/cart"
RANGE = {"x-ms-documentdb-partitionkeyrangeid": "0", "x-ms-max-item-count": str(PAGE)}
QUERY = {
    **RANGE,
    "x-ms-documentdb-isquery": "True",
    "Content-Type": "application/query+json",
}


class Page(NamedTuple):
    """A page that is asked for again and again."""

    name: str
    method: str
    headers: Mapping[str, str]
    query: str = ""


PAGES = [
    Page("the change feed", "GET", {**RANGE, "A-IM": "Incremental feed"}),
    Page("all documents", "GET", RANGE),
    Page("SELECT *", "POST", QUERY, "SELECT * FROM c"),
    Page("a filter", "POST", QUERY, "SELECT * FROM c WHERE c.quantity > 0"),
    Page("a projection", "POST", QUERY, "SELECT c.id, c.quantity FROM c"),
]


class Emulator:
    """A process of `python -m cosmos_emulator`, and one connection to it."""

    def __init__(self) -> None:
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cosmos_emulator", "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        told = [self._process.stdout.readline().split()[-1] for _ in range(3)]  # type: ignore[union-attr]  # a pipe was asked for
        self.ready_seconds = time.perf_counter() - began
        self._key = base64.b64decode(told[1])
        self._http = http.client.HTTPConnection(urlsplit(told[0]).netloc)
        self._usage = psutil.Process(self._process.pid)

    @property
    def memory_bytes(self) -> int:
        """What it holds."""
        return int(self._usage.memory_info().rss)

    @property
    def cpu_seconds(self) -> float:
        """What it has worked."""
        times = self._usage.cpu_times()
        return float(times.user + times.system)

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The body answered; fails unless it is a success."""
        date = formatdate(usegmt=True)
        parts = path.split("/")
        link = path if len(parts) % 2 == 0 else "/".join(parts[:-1])
        kind = parts[-2] if len(parts) % 2 == 0 else parts[-1]
        text = f"{method.lower()}\n{kind}\n{link}\n{date.lower()}\n\n"
        digest = hmac.new(self._key, text.encode(), hashlib.sha256).digest()
        token = quote(f"type=master&ver=1.0&sig={base64.b64encode(digest).decode()}", safe="")
        sent = body if isinstance(body, bytes) else json.dumps(body) if body is not None else None
        signed = {"x-ms-date": date, "authorization": token, **(headers or {})}
        self._http.request(method, f"/{path}", body=sent, headers=signed)
        answer = self._http.getresponse()
        content = answer.read()
        if answer.status >= 300:  # noqa: PLR2004 - no success
            raise RuntimeError(content.decode())
        return content

    def stop(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.communicate()


def main() -> None:
    """Measures, and says so."""
    emulator = Emulator()
    starting = emulator.cpu_seconds
    try:
        emulator.ask("POST", "dbs", {"id": "bench"})
        keys = {"paths": ["/cartId"], "kind": "Hash"}
        emulator.ask("POST", "dbs/bench/colls", {"id": "cart", "partitionKey": keys})
        before, lines = emulator.memory_bytes, b"\n".join(map(_document, range(DOCUMENTS)))
        began = time.perf_counter()
        emulator.ask("POST", f"_emulator/{CONTAINER}/bulk", lines)
        pace = DOCUMENTS / (time.perf_counter() - began)
        each = (emulator.memory_bytes - before) / DOCUMENTS
        start = f"{emulator.ready_seconds:.2f} s, {starting:.2f} s of CPU"
        _say(f"ready after {start}, {before / 2**20:.0f} MiB when idle")
        _say(f"{each:.0f} bytes of memory for a document of {len(lines) // DOCUMENTS}")
        _say(f"{pace:,.0f} documents a second through bulk")
        for page in PAGES:
            _say(_measured(emulator, page))
    finally:
        emulator.stop()


def _measured(emulator: Emulator, page: Page) -> str:
    body = {"query": page.query} if page.query else None
    waited, worked, answer = [], emulator.cpu_seconds, b""
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer = emulator.ask(page.method, f"{CONTAINER}/docs", body, page.headers)
        waited.append(time.perf_counter() - began)
    cpu = (emulator.cpu_seconds - worked) / ROUNDS * 1000
    median, size = statistics.median(waited) * 1000, len(answer)
    return f"{PAGE:,} documents of {page.name}: {cpu:.1f} ms of CPU, {median:.1f} ms until {size:,} bytes came"


def _document(number: int) -> bytes:
    return json.dumps(
        {
            "id": f"item-{number}",
            "cartId": f"cart-{number % 5000}",
            "item": "Unisex Socks",
            "quantity": 1 + number % 9,
            "price": 19.99,
        }
    ).encode()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
