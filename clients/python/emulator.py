"""The emulator that the suites were started against: where it is, control requests, what documents say."""

from __future__ import annotations

import itertools
import json
import os
import urllib.request
from collections.abc import Iterable
from typing import Any

ENDPOINT = os.environ.get("COSMOS_ENDPOINT", "")
KEY = os.environ.get("COSMOS_KEY", "")
DATABASE = "shop"

_names = itertools.count(1)


def new_name() -> str:
    """The name of a container that there is not yet."""
    return f"cart-{os.getpid()}-{next(_names)}"


def documents(count: int) -> list[dict[str, Any]]:
    """As many documents, three to a cart, with their number as `n`."""
    return [{"id": str(n), "cartId": f"cart {n // 3}", "n": n} for n in range(count)]


def numbers(found: Iterable[dict[str, Any]]) -> list[int]:
    """The `n` of documents, in order."""
    return sorted(each["n"] for each in found)


def control(path: str, body: object) -> Any:
    """Sends a control request; returns what was answered."""
    request = urllib.request.Request(
        f"{ENDPOINT}_emulator/{path}", json.dumps(body).encode(), method="POST"
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def split(container: str, parent: str) -> list[str]:
    """Splits a range; returns the ids of its children."""
    path = f"dbs/{DATABASE}/colls/{container}/split"
    return list(control(path, {"range": parent})["children"])


def merge(container: str, parents: list[str]) -> None:
    """Merges neighbours."""
    control(f"dbs/{DATABASE}/colls/{container}/merge", {"ranges": parents})


def shift_clock(seconds: float) -> None:
    """Sets the service's clock beside this machine's."""
    control("clock", {"offset_seconds": seconds})
