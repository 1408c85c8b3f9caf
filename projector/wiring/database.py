"""The target database of a command: the one that is named, or the embedded one in the data folder.

The embedded server lives as long as its last user; a command that only looks starts it, looks and
stops it again, or joins the one that a running host started.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from projector.core.errors import ConfigurationError, ProjectorError, SchemaMismatch
from projector.cosmos.client import postgresql_token
from projector.operations.target_checks import asleep
from projector.ports.diagnosis import SchemaLook
from projector.postgres import schema
from projector.postgres.address import address
from projector.postgres.beside import beside
from projector.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError, exists_in
from projector.postgres.passfile import Token, signed_in
from projector.postgres.readers import DEFAULT_READER, let_in
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.telemetry.logs import Event
from projector.wiring.servers import Servers

EMBEDDED_FOLDER = "postgres"
LOOK_SECONDS = 1.0
"""How often to see whether the embedded server still runs."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def embedded_folder(settings: Settings) -> Path | None:
    """Where the embedded server lives; None when the settings name a server."""
    return None if settings.database_url is not None else settings.data_dir / EMBEDDED_FOLDER


@asynccontextmanager
async def target_url(settings: Settings, *, create: bool = False) -> AsyncIterator[str]:
    """URL of the target database, password included: not for logs.

    Args:
        settings: They name a server, or the embedded one is meant.
        create: Make the embedded server when there is none; who only looks does not.

    Raises:
        SettingsError: Libpq cannot read the URL, or it holds a password where Entra signs in.
        SinkUnavailable: Entra gives no token.
        SchemaMismatch: There is no embedded server to look at.
        EmbeddedPostgresError: The embedded server cannot be started.
    """
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        address(url)  # before anything else is begun
        if settings.database_sign_in == "password":
            yield url
            return
        async with signed_in(url, _entra_token, clock=SystemClock(), patient=create) as with_token:
            yield with_token
        return
    folder = settings.data_dir / EMBEDDED_FOLDER
    if not create and not exists_in(folder):
        raise SchemaMismatch(
            f"there is no embedded PostgreSQL in {folder} yet: start `projector run`, or name a"
            " server in PROJECTOR_DATABASE_URL"
        )
    async with EmbeddedPostgres(folder, announce=_announce) as server:
        log.info(Event.TARGET_EMBEDDED, folder=str(folder), port=server.port)
        async with beside(_keep_running(server), name="target:embedded"):
            yield server.url


async def _entra_token() -> Token:
    text, expires_at = await postgresql_token()
    return Token(text=text, expires_at=expires_at)


async def _keep_running(server: EmbeddedPostgres) -> None:
    """A server that was killed is started again: who would, if not its host?"""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if server.pid is not None:
            continue
        try:
            if await asyncio.to_thread(server.revive):
                log.warning(Event.TARGET_REVIVED, port=server.port)
        except EmbeddedPostgresError as error:
            log.warning(Event.TARGET_UNAVAILABLE, error=str(error))


async def upgrade(url: str, servers: Servers, *, reader_role: str = DEFAULT_READER) -> str:
    """Brings the schema to the newest version and returns it; waits for a server that is down.

    The role that reads the views is let in, and it is said which other databases let it in, too.
    """
    revision = await servers.waiting_for_target(
        lambda: asyncio.to_thread(_upgrade, url, reader_role)
    )
    log.info(Event.SCHEMA_READY, revision=revision, server=address(url).place)
    return revision


async def check(url: str, servers: Servers) -> None:
    """Makes sure that the schema is the one this program needs; waits for a server that is down.

    Raises:
        SchemaMismatch: It is older or newer; the message says what to type.
    """
    await servers.waiting_for_target(lambda: asyncio.to_thread(_check, url))


async def current(url: str) -> tuple[str | None, str]:
    """The schema's version (None: there is none yet) and the newest one."""
    return await asyncio.to_thread(schema.current, url), schema.head()


async def look(url: str) -> tuple[SchemaLook, str]:
    """What one look at the target tells, and the newest version of the schema."""
    return await asyncio.to_thread(schema.look, url), schema.head()


async def fits(url: str) -> bool:
    """Whether the schema is the newest; a server that is down is told of by its own check."""
    try:
        found, newest = await current(url)
    except ProjectorError:
        return False
    return found == newest


async def require_schema(url: str) -> None:
    """For commands that only look: no waiting, no upgrade.

    Raises:
        SchemaMismatch: The schema is not there, older or newer.
        SinkUnavailable: The server is down.
    """
    found, newest = await current(url)
    if found is None:
        raise SchemaMismatch(
            "the database has no schema yet: start `projector run` or `projector db upgrade` first"
        )
    if found != newest:
        await asyncio.to_thread(_check, url)


def _upgrade(url: str, reader_role: str = DEFAULT_READER) -> str:
    found = _look(url)
    at_head = found.revision == schema.head()
    if not at_head:
        from projector.postgres import migrate  # noqa: PLC0415 - only who has to migrate pays for it

        migrate.upgrade(url)
    if at_head and reader_role == DEFAULT_READER:
        return schema.head()
    reader = let_in(url, reader_role)
    if reader.elsewhere and (reader.changed or not at_head):
        log.warning(Event.READER_SHARED, role=reader_role, databases=reader.elsewhere)
    return schema.head()


def _check(url: str) -> None:
    if _look(url).revision != schema.head():
        from projector.postgres import migrate  # noqa: PLC0415 - it can tell what is wrong

        migrate.check(url)


def _look(url: str) -> SchemaLook:
    """Whoever is about to write looks first: a trigger that sleeps is refused."""
    found = schema.look(url)
    if found.asleep:
        raise ConfigurationError(asleep(found.asleep))
    return found


def _announce(line: str) -> None:
    log.info(Event.TARGET_EMBEDDED, note=line)
