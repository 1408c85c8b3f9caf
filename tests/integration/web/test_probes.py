"""Health and metrics alone, on an address of their own, while the console stays where it is."""

from __future__ import annotations

import asyncio

import aiohttp

from cosmos_emulator import EmulatorServer
from projector.wiring.service import Service
from tests.integration.verify.support import until
from tests.integration.web.test_console import free_port
from tests.integration.wiring.support import NO_SERVER, settings


async def test_probes_on_a_port_of_their_own_bear_no_console(emulator: EmulatorServer) -> None:
    page, probes = await free_port(), await free_port()
    chosen = settings(emulator, NO_SERVER, web_port=page, probe_port=probes, probe_host="0.0.0.0")  # noqa: S104
    service = Service(chosen)
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        group.create_task(service.run())

        async def status(port: int, path: str) -> int | None:
            try:
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    return answer.status
            except aiohttp.ClientConnectionError:
                return None

        await until(lambda: status(probes, "/livez"))
        asked = ("/livez", "/readyz", "/metrics", "/", "/events", "/quarantine/1", "/console.js")
        assert [await status(probes, one) for one in asked] == [200, 503, 200, 404, 404, 404, 404]
        assert [await status(page, one) for one in ("/livez", "/")] == [200, 200]
        service.request_stop()
