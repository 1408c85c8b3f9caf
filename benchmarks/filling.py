"""One process's share of filling a generation, as a user's process: `python -m benchmarks.filling SOURCE`.

Says when it made its first request and when the generation was filled, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import azure.cosmos.aio  # noqa: F401 - loaded before the first request, as a host has it loaded

from projector.ports.filling import Filled
from projector.ports.generations import FillSource
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import Generation
from projector.processor.clock import SystemClock
from projector.projection.carts import CARTS
from projector.settings import Settings, load_settings
from projector.wiring.filling import filler
from projector.wiring.opening import account

SCHEMA = "projector_g2"
FILLED = Generation(definition=CARTS, schema=SCHEMA, control=SCHEMA)


async def fill(settings: Settings, source: FillSource) -> Filled | None:
    """Run this process's share to the end."""
    found: list[Filled] = []

    async def done(filled: Filled) -> None:
        found.append(filled)

    url = "" if settings.database_url is None else settings.database_url.get_secret_value()
    options = ConnectionOptions(url=url, control=SCHEMA)
    clock = SystemClock()
    async with Connections(options) as opened, account(settings, clock=clock) as reached:
        share = filler(
            settings,
            reached,
            opened,
            generation=FILLED,
            source=source,
            processor_name=settings.processor_name,
            clock=clock,
            done=done,
        )
        await share.run()
    return found[-1] if found else None


def main() -> None:
    """Fill, and say how long it took."""
    settings = load_settings()
    began = time.time()
    filled = asyncio.run(fill(settings, FillSource(sys.argv[1])))
    units = None if filled is None else filled.request_units
    print(json.dumps({"began": began, "ended": time.time(), "request_units": units}))


if __name__ == "__main__":
    main()
