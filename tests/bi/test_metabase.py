"""The set-up of Metabase against a server that speaks the part of its API that is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from typing_extensions import override

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "metabase" / "setup.py"
BOARD = json.loads(SCRIPT.with_name("carts.json").read_text("utf-8"))
SESSION = "of the first user"
ENTRANCES = {("GET", "session/properties"), ("POST", "setup"), ("POST", "session")}
LISTED = ("GET", "collection/root/items?models=dashboard")
LOGIN = {
    "METABASE_EMAIL": "analyst@example.com",
    "METABASE_PASSWORD": "secret-1",
    "PGHOST": "postgres",
    "PGDATABASE": "projector",
    "PGUSER": "analyst",
    "PGPASSWORD": "analyst",
}


class Metabase:
    """What it remembers, and what its API answers."""

    def __init__(self) -> None:
        self.users: dict[str, str] = {}
        self.made: dict[str, list[dict[str, Any]]] = {"database": [], "card": [], "dashboard": []}

    def answer(self, method: str, path: str, body: Any, session: str) -> tuple[int, Any]:
        asked = (method, path.removeprefix("/api/"))
        if asked in ENTRANCES:
            return self._entered(asked[1], body)
        if session != SESSION:
            return 401, None
        if asked == LISTED:
            return 200, {"data": self.made["dashboard"]}
        kind, *number = asked[1].split("/")
        found = self.made[kind]
        if method == "GET":
            return 200, {"data": found}
        if method == "PUT":
            found[int(number[0]) - 1].update(body)
        else:
            found.append({**body, "id": len(found) + 1})
        return 200, found[-1]

    def _entered(self, way: str, body: Any) -> tuple[int, Any]:
        if way == "session/properties":
            return 200, {"setup-token": "once", "has-user-setup": bool(self.users)}
        if way == "setup" and body["token"] == "once" and not self.users:
            self.users[body["user"]["email"]] = body["user"]["password"]
            return 200, {"id": SESSION}
        known = way == "session" and self.users.get(body["username"]) == body["password"]
        return (200, {"id": SESSION}) if known else (401, None)


@contextmanager
def serving(metabase: Metabase) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            session = self.headers.get("X-Metabase-Session", "")
            status, answer = metabase.answer(self.command, self.path, body, session)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = do_PUT = _respond  # noqa: N815 - names of the library

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def set_up(url: str) -> None:
    environment = {**os.environ, **LOGIN, "METABASE_URL": url}
    done = subprocess.run(
        [sys.executable, SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_question_stands_on_the_dashboard_and_a_second_run_changes_nothing() -> None:
    metabase = Metabase()
    with serving(metabase) as url:
        set_up(url)
        first = json.dumps(metabase.made)
        set_up(url)
    assert json.dumps(metabase.made) == first
    [database] = metabase.made["database"]
    assert database["engine"] == "postgres"
    assert database["details"]["schema-filters-patterns"] == "carts"
    [dashboard] = metabase.made["dashboard"]
    cards = {card["id"]: card for card in metabase.made["card"]}
    placed = dashboard["dashcards"]
    assert len({one["id"] for one in placed}) == len(placed) == len(BOARD["cards"])
    for one, wanted in zip(placed, BOARD["cards"], strict=True):
        card = cards[one["card_id"]]
        assert card["name"] == wanted["name"]
        assert card["dataset_query"]["native"]["query"] == wanted["query"]
        assert card["dataset_query"]["database"] == database["id"]
        assert {name: one[name] for name in wanted["place"]} == wanted["place"]
