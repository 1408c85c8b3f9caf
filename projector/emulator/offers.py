"""Throughput offers: one per container, with the figure that its creator asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from projector.emulator.container import Container
from projector.emulator.documents import decode_object
from projector.emulator.engine import DEFAULT_THROUGHPUT, Engine
from projector.emulator.errors import bad_request, not_found

_THROUGHPUT = "x-ms-offer-throughput"
_AUTOPILOT = "x-ms-cosmos-offer-autopilot-settings"


class Offers:
    """What containers were provisioned with; it limits nothing."""

    def __init__(self) -> None:
        self._contents: dict[str, dict[str, Any]] = {}

    def record(self, container: Container, content: dict[str, Any]) -> None:
        """Remembers what a container was provisioned with."""
        self._contents[container.rid] = content

    def replace(self, engine: Engine, offer_id: str, content: object) -> None:
        """Changes an offer's content."""
        if not isinstance(content, dict):
            raise bad_request("The offer needs a content.")
        for container in (c for _, c in engine.containers() if _offer_id(c) == offer_id):
            self._contents[container.rid] = content
            return
        raise not_found()

    def resources(self, engine: Engine) -> list[dict[str, Any]]:
        """All offers as the service describes them."""
        return [self._resource(container) for _, container in engine.containers()]

    def _resource(self, container: Container) -> dict[str, Any]:
        identity = _offer_id(container)
        default = {"offerThroughput": DEFAULT_THROUGHPUT}
        return {
            "id": identity,
            "_rid": identity,
            "_self": f"offers/{identity}/",
            "_etag": f'"00000000-0000-0000-0000-{container.written_at:08x}0000"',
            "_ts": container.written_at,
            "resource": container.self_link,
            "offerResourceId": container.rid,
            "offerType": "Invalid",
            "offerVersion": "V2",
            "content": self._contents.get(container.rid, default),
        }


def requested_content(headers: Mapping[str, str]) -> dict[str, Any]:
    """Returns the throughput that a create request asks for."""
    text = headers.get(_THROUGHPUT, str(DEFAULT_THROUGHPUT))
    if not text.isdigit():
        raise bad_request(f"The throughput {text!r} is not valid.")
    content: dict[str, Any] = {"offerThroughput": int(text)}
    if _AUTOPILOT in headers:
        content["offerAutopilotSettings"] = decode_object(headers[_AUTOPILOT].encode())
    return content


def _offer_id(container: Container) -> str:
    return container.rid[-6:-1].replace("+", "A").replace("-", "B")
