"""Makes Metabase show the carts: its first user, the database, the questions and the dashboard.

It speaks Metabase's API, because its free edition reads no files. What is there already is left as it is:
a second run changes nothing. Settings come from the environment: METABASE_URL, METABASE_EMAIL,
METABASE_PASSWORD, and PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD of a login that may read the views.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

BOARD = Path(__file__).with_name("carts.json")
PATIENCE_SECONDS = 300
PAUSE_SECONDS = 2
SITE = "Carts"


class Metabase:
    """One Metabase, as its first user."""

    def __init__(self, url: str) -> None:
        """Nobody is signed in yet."""
        self._url = url.rstrip("/")
        self._session = ""

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One request; the answer's JSON.

        Raises:
            urllib.error.URLError: it does not answer, or refuses.
        """
        request = urllib.request.Request(  # noqa: S310 - the address is the operator's
            f"{self._url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "X-Metabase-Session": self._session},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            text = answer.read()
        return json.loads(text) if text else None

    def wait(self) -> Any:
        """Its properties, as soon as it has started."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.call("GET", "/api/session/properties")
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(PAUSE_SECONDS)

    def enter(self, email: str, password: str) -> None:
        """Makes the first user, or signs in as the one that is there."""
        properties = self.wait()
        if properties.get("has-user-setup"):
            login = {"username": email, "password": password}
            self._session = self.call("POST", "/api/session", login)["id"]
            return
        user = {"email": email, "password": password, "first_name": "Ann", "last_name": "Alyst"}
        answer = self.call(
            "POST",
            "/api/setup",
            {
                "token": properties["setup-token"],
                "user": {**user, "site_name": SITE},
                "prefs": {"site_name": SITE, "allow_tracking": False},
            },
        )
        self._session = answer["id"]

    def named(self, path: str, name: str) -> int | None:
        """The id of what has that name, if it is there."""
        found = self.call("GET", path)
        entries = found["data"] if isinstance(found, dict) else found
        return next((each["id"] for each in entries if each["name"] == name), None)


def database(metabase: Metabase) -> int:
    """The id of the copy, which is made known when it is not."""
    known = metabase.named("/api/database", SITE)
    if known is not None:
        return known
    details = {
        "host": os.environ["PGHOST"],
        "port": int(os.environ.get("PGPORT", "5432")),
        "dbname": os.environ["PGDATABASE"],
        "user": os.environ["PGUSER"],
        "password": os.environ["PGPASSWORD"],
        "ssl": os.environ.get("PGSSLMODE", "disable") != "disable",
        "schema-filters-type": "inclusion",
        "schema-filters-patterns": "carts",
    }
    made = metabase.call(
        "POST", "/api/database", {"name": SITE, "engine": "postgres", "details": details}
    )
    return int(made["id"])


def dashboard(metabase: Metabase, board: dict[str, Any], database_id: int) -> None:
    """Makes the questions, and the dashboard with all of them; nothing when it is there."""
    if metabase.named("/api/collection/root/items?models=dashboard", board["name"]) is not None:
        return
    placed = []
    for number, card in enumerate(board["cards"], start=1):
        query = {"type": "native", "native": {"query": card["query"]}, "database": database_id}
        made = metabase.call(
            "POST",
            "/api/card",
            {
                "name": card["name"],
                "description": card["description"],
                "display": card["display"],
                "visualization_settings": card["settings"],
                "dataset_query": query,
            },
        )
        placed.append({"id": -number, "card_id": made["id"], **card["place"]})
    about = {"name": board["name"], "description": board["description"]}
    made = metabase.call("POST", "/api/dashboard", about)
    metabase.call("PUT", f"/api/dashboard/{made['id']}", {"dashcards": placed})


def main() -> None:
    """Makes what is missing."""
    metabase = Metabase(os.environ["METABASE_URL"])
    metabase.enter(os.environ["METABASE_EMAIL"], os.environ["METABASE_PASSWORD"])
    dashboard(metabase, json.loads(BOARD.read_text("utf-8")), database(metabase))
    sys.stdout.write("Metabase shows the carts\n")


if __name__ == "__main__":
    main()
