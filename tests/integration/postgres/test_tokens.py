"""Connections to a server that refuses the token of before: each new one is made with that of now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from projector.core.errors import ProjectorError
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.passfile import Token, signed_in, write_token
from projector.processor.clock import SystemClock

pytestmark = pytest.mark.postgres

WHO = "SELECT current_user"


async def test_a_new_connection_takes_the_token_of_now(database_url: str) -> None:
    found = conninfo_to_dict(database_url.replace("+psycopg", ""))
    where = {name: str(value) for name, value in found.items()}
    role = f"entra_{where['dbname']}"
    bare = make_conninfo(**{**where, "user": role, "password": ""})

    async def only(password: str) -> None:
        """The server takes this token, as if all others had ended."""
        alter = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), password)
        await server.execute(alter)

    async def works(url: str) -> None:
        options = ConnectionOptions(url=url, acquire_seconds=2)
        async with Connections(options) as connections:
            assert await connections.all_rows(dict, WHO) == [{"current_user": role}]

    async def ask() -> Token:
        return Token(text="token-1", expires_at=datetime.now(UTC) + timedelta(hours=1))

    server = await psycopg.AsyncConnection.connect(make_conninfo(**where), autocommit=True)
    async with server:
        await server.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        try:
            await only("token-1")
            async with signed_in(bare, ask, clock=SystemClock()) as url:
                await works(url)
                await only("token-2")
                with pytest.raises(ProjectorError):
                    await works(url)
                file = Path(str(conninfo_to_dict(url)["passfile"]))
                write_token(file, Token(text="token-2", expires_at=datetime.now(UTC)))
                await works(url)  # the same address
        finally:
            await server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
