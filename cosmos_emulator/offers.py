"""Throughput offers: one per container, or one that a whole database shares, as its creator asked.

A container has an offer of its own unless its database has one and nothing was asked for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_emulator.documents import decode_object
from cosmos_emulator.engine import DEFAULT_THROUGHPUT, Engine
from cosmos_emulator.errors import bad_request, not_found
from cosmos_emulator.texts import whole_number

_THROUGHPUT = "x-ms-offer-throughput"
_AUTOPILOT = "x-ms-cosmos-offer-autopilot-settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Provisioned:
    """A database or a container that may have an offer."""

    rid: str
    link: str
    written_at: int

    @property
    def offer_id(self) -> str:
        return self.rid[-6:-1].replace("+", "A").replace("-", "B")


class Offers:
    """What databases and containers were provisioned with; it limits nothing."""

    def __init__(self) -> None:
        self._contents: dict[str, dict[str, Any]] = {}

    def record(self, rid: str, content: dict[str, Any] | None) -> None:
        """Remembers what a database or a container was provisioned with; None: nothing was said."""
        if content is not None:
            self._contents[rid] = content

    def replace(self, engine: Engine, offer_id: str, content: object) -> None:
        """Changes an offer's content."""
        if not isinstance(content, dict):
            raise bad_request("The offer needs a content.")
        for owner in self._owners(engine):
            if owner.offer_id == offer_id:
                self._contents[owner.rid] = content
                return
        raise not_found()

    def resources(self, engine: Engine) -> list[dict[str, Any]]:
        """All offers as the service describes them."""
        return [self._resource(owner) for owner in self._owners(engine)]

    def _owners(self, engine: Engine) -> Iterator[_Provisioned]:
        for database in engine.databases():
            shared = database.rid in self._contents
            if shared:
                yield _Provisioned(
                    rid=database.rid,
                    link=f"dbs/{database.rid}/",
                    written_at=database.written_at,
                )
            for container in database.containers.values():
                if not shared or container.rid in self._contents:
                    yield _Provisioned(
                        rid=container.rid,
                        link=container.self_link,
                        written_at=container.written_at,
                    )

    def _resource(self, owner: _Provisioned) -> dict[str, Any]:
        default = {"offerThroughput": DEFAULT_THROUGHPUT}
        return {
            "id": owner.offer_id,
            "_rid": owner.offer_id,
            "_self": f"offers/{owner.offer_id}/",
            "_etag": f'"00000000-0000-0000-0000-{owner.written_at:08x}0000"',
            "_ts": owner.written_at,
            "resource": owner.link,
            "offerResourceId": owner.rid,
            "offerType": "Invalid",
            "offerVersion": "V2",
            "content": self._contents.get(owner.rid, default),
        }


def requested_content(headers: Mapping[str, str]) -> dict[str, Any] | None:
    """Returns the throughput that a create request asks for; None when it asks for none."""
    if _THROUGHPUT not in headers and _AUTOPILOT not in headers:
        return None
    text = headers.get(_THROUGHPUT, str(DEFAULT_THROUGHPUT))
    asked = whole_number(text)
    if asked is None or asked < 1:
        raise bad_request(f"The throughput {text!r} is not valid.")
    content: dict[str, Any] = {"offerThroughput": asked}
    if _AUTOPILOT in headers:
        content["offerAutopilotSettings"] = decode_object(headers[_AUTOPILOT].encode())
    return content
