"""What arrives at a real socket in the place of systemd's."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from projector.core.names import Epoch, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.core.states import RangeState
from projector.ports.feed import RangeReport
from projector.wiring.systemd import STILL_SECONDS, STOPPING, Systemd
from tests.fakes.clock import FakeClock

LIMIT_SECONDS = 30


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.setblocking(False)
        yield receiver


def heard(receiver: socket.socket) -> list[str]:
    found: list[str] = []
    while True:
        try:
            found.append(receiver.recv(4096).decode())
        except BlockingIOError:
            return found


class Here:
    """A host with one range, and whoever is told of it."""

    def __init__(self, **environment: str) -> None:
        self.clock = FakeClock()
        self.state, self.state_since = RangeState.READING, self.clock.now()
        self.answered = True
        self._answered_at = self.clock.now()
        self.systemd = self.told_by(environment)

    def told_by(self, environment: Mapping[str, str]) -> Systemd:
        return Systemd(
            reports=self.reports, clock=self.clock, poll_seconds=1.0, environment=environment
        )

    async def passes(self, seconds: float, receiver: socket.socket) -> list[str]:
        """So much time, while somebody listens: a socket holds ten messages."""
        found: list[str] = []
        for _ in range(int(seconds / LIMIT_SECONDS)):
            await self.clock.sleep(LIMIT_SECONDS)
            found += heard(receiver)
        return found

    def reports(self) -> list[RangeReport]:
        if self.answered:
            self._answered_at = self.clock.now()
        return [
            RangeReport(
                lease_token=LeaseToken("0"),
                feed_range=FULL_RANGE,
                owner=InstanceName("host"),
                state=self.state,
                state_since=self.state_since,
                epoch=Epoch(1),
                last_poll_at=self._answered_at,
            )
        ]


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


def watched(address: str, **more: str) -> Here:
    return Here(NOTIFY_SOCKET=address, WATCHDOG_USEC=str(LIMIT_SECONDS * 1_000_000), **more)


async def test_signs_come_thrice_in_the_limit_while_ranges_advance(address: str) -> None:
    here = watched(address)
    with listening(address) as receiver:
        telling = asyncio.ensure_future(here.systemd.run())
        await here.clock.sleep(LIMIT_SECONDS - 1)
        here.systemd.tell(STOPPING)
        telling.cancel()
        assert heard(receiver) == [
            "READY=1",
            *["WATCHDOG=1\nSTATUS=1 reading"] * 3,
            "STOPPING=1",
        ]


async def test_no_sign_is_given_for_a_range_that_says_it_reads_and_does_not(address: str) -> None:
    here = watched(address)
    with listening(address) as receiver:
        telling = asyncio.ensure_future(here.systemd.run())
        await here.clock.sleep(1)
        here.answered = False
        *_, last = await here.passes(STILL_SECONDS + LIMIT_SECONDS, receiver)
        assert last == "STATUS=ranges stand still: 0"
        here.answered = True
        *_, last = await here.passes(LIMIT_SECONDS, receiver)
        telling.cancel()
        assert last.startswith("WATCHDOG=1")


@pytest.mark.parametrize(
    "state",
    [
        RangeState.WAITING_FOR_TARGET,
        RangeState.WAITING_FOR_SOURCE,
        RangeState.THROTTLED,
        RangeState.SOURCE_RECREATED,
    ],
)
async def test_an_outage_is_no_reason_for_a_restart(address: str, state: RangeState) -> None:
    here = watched(address)
    here.answered, here.state = False, state
    with listening(address) as receiver:
        telling = asyncio.ensure_future(here.systemd.run())
        told = await here.passes(4 * STILL_SECONDS, receiver)
        telling.cancel()
        assert all(one.startswith("WATCHDOG=1") for one in told[1:])
        assert told[-1].endswith(f"STATUS=1 {state.value}")


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}],
    ids=["no watchdog", "switched off", "another process is meant"],
)
async def test_without_a_watchdog_only_the_start_is_told(
    address: str, environment: dict[str, str]
) -> None:
    with listening(address) as receiver:
        await Here(NOTIFY_SOCKET=address, **environment).systemd.run()
        assert heard(receiver) == ["READY=1"]


async def test_an_abstract_socket_is_one_too() -> None:
    name = f"projector-test-{os.getpid()}"
    with listening(f"\0{name}") as receiver:
        await Here(NOTIFY_SOCKET=f"@{name}").systemd.run()
        assert heard(receiver) == ["READY=1"]


async def test_where_nobody_listens_nothing_happens(address: str) -> None:
    await Here().systemd.run()
    await Here(NOTIFY_SOCKET=address).systemd.run()
