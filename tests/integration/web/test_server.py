from __future__ import annotations

import aiohttp
import pytest

from projector.core.errors import ConfigurationError
from projector.telemetry.metrics import Metrics
from projector.web.server import serve


async def answer(port: int, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.text()


async def test_it_lives_before_it_is_ready() -> None:
    ready = False
    async with serve(host="127.0.0.1", port=0, metrics=Metrics(), is_ready=lambda: ready) as port:
        assert await answer(port, "/livez") == (200, "alive\n")
        assert (await answer(port, "/readyz"))[0] == 503
        ready = True
        assert (await answer(port, "/readyz"))[0] == 200


async def test_metrics_are_served_as_text() -> None:
    async with serve(host="127.0.0.1", port=0, metrics=Metrics(), is_ready=lambda: True) as port:
        status, text = await answer(port, "/metrics")
    assert status == 200
    assert "projector_leases_owned 0.0" in text


async def test_a_port_in_use_names_the_setting() -> None:
    async with serve(host="127.0.0.1", port=0, metrics=Metrics(), is_ready=lambda: True) as port:
        with pytest.raises(ConfigurationError, match="in use; set PROJECTOR_WEB_PORT"):
            async with serve(host="127.0.0.1", port=port, metrics=Metrics(), is_ready=lambda: True):
                pass


async def test_an_address_that_is_not_ours_names_the_setting() -> None:
    with pytest.raises(ConfigurationError, match="set PROJECTOR_WEB_HOST"):
        async with serve(host="192.0.2.1", port=0, metrics=Metrics(), is_ready=lambda: True):
            pass
