from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from projector.core.errors import ConfigurationError, ProjectorError, SinkUnavailable, Throttled
from projector.telemetry.logs import Event
from projector.wiring.servers import Servers
from tests.fakes.clock import FakeClock


class Server:
    """Answers after so many failures."""

    def __init__(self, failures: list[ProjectorError]) -> None:
        self._failures: Iterator[ProjectorError] = iter(failures)

    async def ask(self) -> str:
        error = next(self._failures, None)
        if error is not None:
            raise error
        return "answer"


async def asked(server: Server) -> str:
    servers = Servers(clock=FakeClock(), draw=lambda: 0.0)
    return await servers.until_done(
        server.ask, failing=Event.TARGET_UNAVAILABLE, back=Event.TARGET_BACK
    )


async def test_an_outage_is_waited_out_with_growing_pauses_and_said() -> None:
    outage = [SinkUnavailable("down")] * 5 + [Throttled(retry_after_seconds=1.0)]
    with capture_logs() as told:
        assert await asked(Server(list(outage))) == "answer"
    pauses = [
        entry["retry_in_seconds"] for entry in told if entry["event"] == Event.TARGET_UNAVAILABLE
    ]
    assert pauses == sorted(pauses)
    assert len(pauses) == 6
    assert pauses[-1] > pauses[0] * 8
    assert told[-1]["event"] == Event.TARGET_BACK


async def test_what_no_waiting_mends_goes_up_at_once() -> None:
    with pytest.raises(ConfigurationError, match="wrong key"):
        await asked(Server([ConfigurationError("wrong key")]))


async def test_a_server_that_answers_is_not_spoken_of() -> None:
    with capture_logs() as told:
        assert await asked(Server([])) == "answer"
    assert told == []
