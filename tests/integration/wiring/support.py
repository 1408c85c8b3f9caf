"""A container on the emulator, settings for it, and a host of this process that reads it to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cosmos_emulator import EmulatorServer
from projector.settings import Settings
from projector.wiring.service import Service

DATABASE = "acme-webstore"
NO_SERVER = "postgresql://user:password@127.0.0.1:1/none"


def settings(emulator: EmulatorServer, url: str, **others: Any) -> Settings:
    return Settings.model_validate(
        {
            "cosmos_endpoint": emulator.endpoint,
            "cosmos_key": emulator.key,
            "database_url": url,
            "web_port": 0,
            **others,
        }
    )


async def delivered(wanted: Settings) -> int:
    return (await Service(wanted).run(until_caught_up=True)).delivered


@dataclass(frozen=True, kw_only=True)
class Shop:
    """An account and a target of the test's own; both are empty at first."""

    emulator: EmulatorServer
    url: str

    def settings(self, **others: Any) -> Settings:
        return settings(self.emulator, self.url, **others)

    @property
    def carts(self) -> Any:
        """The container as the emulator holds it."""
        return self.emulator.engine.container(DATABASE, "cart")

    def open(
        self, carts: int = 0, *, container: str = "cart", key: str = "/cartId", ttl: int = -1
    ) -> Any:
        """Make a container, and fill it with one line for each of so many carts."""
        if DATABASE not in {one.name for one in self.emulator.engine.databases()}:
            self.emulator.engine.create_database(DATABASE)
        partitioned = {"paths": [key], "kind": "Hash", "version": 2}
        made = self.emulator.engine.create_container(
            DATABASE, {"id": container, "partitionKey": partitioned, "defaultTtl": ttl}
        )
        for number in range(carts):
            made.upsert({"id": "1", "cartId": f"c{number}", "item": "x", "quantity": 1})
        return made

    def put(self, number: int, **changes: Any) -> None:
        """Write the line of a cart anew."""
        line = {"id": "1", "cartId": f"c{number}", "item": "x", "quantity": 1}
        self.carts.upsert(line | changes)

    async def delivered(self, **others: Any) -> int:
        """Let a host read to the end; how many documents it was given."""
        return await delivered(self.settings(**others))
