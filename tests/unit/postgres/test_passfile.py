"""A token is renewed before it ends, in the file that libpq reads; a fake Entra gives tokens that expire."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from structlog.testing import capture_logs

from projector.core.errors import SettingsError, SinkUnavailable
from projector.postgres.passfile import TOKEN_KEPT, Token, signed_in, write_token
from tests.fakes.clock import START, FakeClock

URL = "postgresql://projector@127.0.0.1:5432/shop"


@dataclass
class Entra:
    """Keeps a token until five minutes before its end, as the credentials of Azure do."""

    clock: FakeClock = field(default_factory=FakeClock)
    life_seconds: float = 3600
    kept_seconds: float = 300
    down: bool = False
    given: list[Token] = field(default_factory=list)

    async def ask(self) -> Token:
        if self.down:
            raise SinkUnavailable("Entra does not answer")
        now = self.clock.now()
        if self.given:
            left = (self.given[-1].expires_at - now).total_seconds()
            if left > min(self.kept_seconds, self.life_seconds / 2):
                return self.given[-1]
        ends = now + timedelta(seconds=self.life_seconds)
        token = Token(text=f"token-{len(self.given)}", expires_at=ends)
        self.given.append(token)
        return token

    def valid(self, password: str) -> bool:
        now = self.clock.now()
        return any(one.text == password and one.expires_at > now for one in self.given)


def password_in(url: str) -> str:
    line = Path(str(conninfo_to_dict(url)["passfile"])).read_text("utf-8")
    return line.rstrip("\n").rpartition(":")[2]


@pytest.mark.parametrize("life_seconds", [60, 600, 3600, 86_400])
async def test_whoever_connects_finds_a_token_that_has_not_ended(life_seconds: float) -> None:
    entra = Entra(life_seconds=life_seconds)
    async with signed_in(URL, entra.ask, clock=entra.clock) as url:
        for _ in range(40):
            assert entra.valid(password_in(url))
            await entra.clock.sleep(life_seconds / 10)
    assert 4 <= len(entra.given) <= 8


async def test_an_entra_that_does_not_answer_leaves_the_token_and_is_asked_again() -> None:
    entra = Entra()
    async with signed_in(URL, entra.ask, clock=entra.clock) as url:
        entra.down = True
        with capture_logs() as logs:
            await entra.clock.sleep(3500)
        assert {line["event"] for line in logs} == {TOKEN_KEPT}
        assert entra.valid(password_in(url))
        entra.down = False
        await entra.clock.sleep(120)
        assert password_in(url) == "token-1"


async def test_a_host_waits_for_its_first_token_and_a_command_does_not() -> None:
    entra = Entra(down=True)
    with pytest.raises(SinkUnavailable, match="Entra does not answer"):
        async with signed_in(URL, entra.ask, clock=entra.clock):
            pass

    async def comes_up() -> None:
        await entra.clock.sleep(100)
        entra.down = False

    coming = asyncio.ensure_future(comes_up())
    async with signed_in(URL, entra.ask, clock=entra.clock, patient=True) as url:
        assert password_in(url) == "token-0"
    await coming


async def test_the_file_is_the_users_alone_and_goes_with_the_process() -> None:
    entra = Entra()
    async with signed_in(URL, entra.ask, clock=entra.clock) as url:
        file = Path(str(conninfo_to_dict(url)["passfile"]))
        modes = [one.stat().st_mode & 0o777 for one in (file, file.parent)]
        assert modes == [0o600, 0o700]
        assert conninfo_to_dict(url)["dbname"] == "shop"
    assert not file.parent.exists()


async def test_a_password_beside_a_token_is_a_mistake() -> None:
    entra = Entra()
    with pytest.raises(SettingsError, match="leave out one of them"):
        async with signed_in(URL.replace("@", ":secret@"), entra.ask, clock=entra.clock):
            pass
    assert entra.given == []


def test_what_a_password_file_reads_in_another_way_is_written_so_that_it_does_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pgpass"
    write_token(file, Token(text=r"a:b\c", expires_at=START))
    assert file.read_text("utf-8") == "*:*:*:*:a\\:b\\\\c\n"
