"""A password that changes while the process lives: in a file of libpq's, which every new connection reads.

A token of Entra is such a password: it signs in for about an hour, and a session that has begun outlives it.
Libpq looks into the file at each attempt, whoever makes it: the pool, a migration, `psql`. So nobody needs to
know of tokens. The file is this process's alone, readable by its user alone, and goes with it.
Source: PostgreSQL documentation, "The Password File".
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import structlog
from psycopg.conninfo import make_conninfo

from projector.core.errors import ConfigurationError, Disposition, ProjectorError, SettingsError
from projector.core.secrets import conceal
from projector.ports.feed import Clock
from projector.postgres.address import address
from projector.postgres.beside import beside

TOKEN_KEPT = "token_kept"  # noqa: S105 - the name of an event
TOKEN_MISSING = "token_missing"  # noqa: S105 - as above
RENEWED_SECONDS = 240.0
"""How long before its end a token is renewed: later than those who keep tokens stop giving the old one."""

PART_OF_LIFE = 1 / 3
"""A token that lives for less than that allows is renewed when so much of its life is left."""

AGAIN_SECONDS = 15.0
"""Between two attempts, and before the same token is asked for again."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Signs in until it expires."""

    text: str = field(repr=False)
    expires_at: datetime


AskToken: TypeAlias = Callable[[], Awaitable[Token]]


@asynccontextmanager
async def signed_in(
    url: str, ask: AskToken, *, clock: Clock, patient: bool = False
) -> AsyncIterator[str]:
    """The same address, with a token that is renewed before it ends, as long as the block lasts.

    Args:
        url: Of the target, without a password.
        ask: Gets a token.
        clock: By which it ends.
        patient: Wait for the first token, as a host waits for its servers.

    Raises:
        SettingsError: The address holds a password.
        ConfigurationError: There is no folder for the file.
        ProjectorError: There is no token; whatever `ask` raises.
    """
    if address(url).options.get("password"):
        raise SettingsError(
            "PROJECTOR_DATABASE_URL holds a password, and PROJECTOR_DATABASE_SIGN_IN=entra signs in"
            " without one: leave out one of them"
        )
    token = await _first(ask, clock) if patient else await ask()
    with _folder() as folder:
        file = Path(folder) / "pgpass"
        write_token(file, token)
        async with beside(_keep_fresh(file, token, ask, clock), name="target:token"):
            yield make_conninfo(url, passfile=str(file))


def _folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="projector-")
    except OSError as error:
        raise ConfigurationError(
            "a token needs a folder that can be written: name one in TMPDIR, best one in memory"
        ) from error


async def _first(ask: AskToken, clock: Clock) -> Token:
    while True:
        try:
            return await ask()
        except ProjectorError as error:
            if error.disposition is not Disposition.RETRY:
                raise
            log.warning(TOKEN_MISSING, error=str(error))
        await clock.sleep(AGAIN_SECONDS)


async def _keep_fresh(file: Path, token: Token, ask: AskToken, clock: Clock) -> None:
    """Renew the token for ever; one that cannot be had leaves the old one, and is asked for again."""
    seconds = _until_renewal(token, clock)
    while True:
        await clock.sleep(max(seconds, AGAIN_SECONDS))
        try:
            found = await ask()
        except ProjectorError as error:
            log.warning(TOKEN_KEPT, error=str(error), expires_at=token.expires_at.isoformat())
            seconds = AGAIN_SECONDS
            continue
        if found.expires_at > token.expires_at:
            token = found
            write_token(file, token)
        seconds = _until_renewal(token, clock)


def _until_renewal(token: Token, clock: Clock) -> float:
    left = (token.expires_at - clock.now()).total_seconds()
    return left - min(RENEWED_SECONDS, left * PART_OF_LIFE)


def write_token(file: Path, token: Token) -> None:
    """Put the token where libpq looks; a reader finds the old one or the new one, whole."""
    conceal([token.text])
    escaped = token.text.replace("\\", "\\\\").replace(":", "\\:")
    fresh = file.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(f"*:*:*:*:{escaped}\n", encoding="utf-8")
    fresh.replace(file)
