"""Whatever the address: we connect as psql does, or say one line without any part of the password.

The reference is libpq itself, which psql uses.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import text
from typing_extensions import override

from projector.core.errors import ConfigurationError, ProjectorError, SinkUnavailable
from projector.postgres import migrate, schema
from projector.postgres.address import NOT_ENCODED, NOT_PRINTABLE, UNREADABLE
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.encryption import SSL_REQUEST

WORDS = ("Qx7", "ζж", "ö", "%", "%zz", "%41", "@", "/", "#", "?", "&", "=", ":", "+", " ", "'")
MORE = ('"', "\\", ",", "[", "]", "%0a", "{}", "$", ";", "~")

# What people write, from what is right to what is not.
FORMS: tuple[Callable[[str, str, int, str], str], ...] = (
    lambda user, word, port, name: (
        f"postgresql://{user}:{quote(word, safe='')}@127.0.0.1:{port}/{name}"
    ),
    lambda user, word, port, name: f"postgresql://{user}:{quote(word)}@127.0.0.1:{port}/{name}",
    lambda user, word, port, name: f"postgres://{user}:{word}@127.0.0.1:{port}/{name}",
    lambda user, word, port, name: (
        f"postgresql://{user}@127.0.0.1:{port}/{name}?password={quote(word, safe='')}"
    ),
    lambda user, word, port, name: (
        f"postgresql://127.0.0.1:{port}/{name}?user={user}&password={word}"
    ),
    lambda user, word, port, name: make_conninfo(
        user=user, password=word, host="127.0.0.1", port=port, dbname=name
    ),
    lambda user, word, port, name: (
        f"host=127.0.0.1 port={port} dbname={name} user={user} password={word}"
    ),
)


@contextmanager
def user_with(server_url: str) -> Iterator[tuple[psycopg.Connection, str]]:
    """A role whose password changes with every example."""
    name = f"fuzz_{secrets.token_hex(4)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        # One round: thousands of examples need not be safe from guessing.
        if connection.info.server_version >= 160000:
            connection.execute("SET scram_iterations = 1")
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        try:
            yield connection, name
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def connects(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except (psycopg.Error, UnicodeError, ValueError):
        return False
    return True


def by_a_look(url: str) -> None:
    schema.look(url)


def by_a_migration(url: str) -> None:
    with migrate.engine(url).connect() as connection:
        connection.execute(text("SELECT 1"))


def by_the_pool(url: str) -> None:
    async def session() -> None:
        options = ConnectionOptions(url=url, acquire_seconds=0.3)
        async with Connections(options) as connections, connections.session():
            pass

    asyncio.run(session())


def failure(way: Callable[[str], None], url: str) -> ProjectorError | None:
    try:
        way(url)
    except ProjectorError as error:
        return error
    return None


WAYS = (by_a_look, by_a_migration, by_the_pool)


@pytest.mark.parametrize("way", WAYS)
def test_we_connect_as_psql_does_or_say_one_line_without_the_password(
    postgres_server_url: str, way: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    known = conninfo_to_dict(postgres_server_url)
    port, name = int(known["port"] or 0), str(known["dbname"])
    caplog.set_level(logging.DEBUG)
    words = st.lists(st.sampled_from([*WORDS, *MORE]), min_size=1, max_size=6).map("".join)
    with user_with(postgres_server_url) as (server, user):
        # The pool waits for a moment before it says why.
        @settings(
            max_examples=20 if way is by_the_pool else 60, suppress_health_check=list(HealthCheck)
        )
        @given(word=words, form=st.sampled_from(FORMS))
        def check(word: str, form: Callable[[str, str, int, str], str]) -> None:
            server.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(user), sql.Literal(word))
            )
            url = form(user, word, port, name)
            caplog.clear()
            error = failure(way, url)
            said = "" if error is None else str(error)
            assert connects(url) == (error is None) or isinstance(error, ConfigurationError), url
            assert "\n" not in said
            assert_nothing_of(word, f"{said} {caplog.text}")

        check()


def assert_nothing_of(word: str, text: str) -> None:
    """No three characters of the password together, but for what our own lines always say."""
    for always in (UNREADABLE, NOT_ENCODED, NOT_PRINTABLE):
        text = text.replace(always, "")
    pieces = [word[start : start + 3] for start in range(len(word) - 2)]
    assert [piece for piece in pieces if piece.strip() and piece in text] == []


def test_two_servers_are_tried_in_turn(database_url: str, unused_tcp_port: int) -> None:
    known = conninfo_to_dict(database_url)
    url = make_conninfo(
        database_url,
        host=f"127.0.0.1,{known['host']}",
        port=f"{unused_tcp_port},{known['port']}",
        target_session_attrs="read-write",
    )
    for way in WAYS:
        way(url)


def test_options_and_names_with_spaces_reach_the_server(postgres_server_url: str) -> None:
    known = conninfo_to_dict(postgres_server_url)
    with psycopg.connect(postgres_server_url, autocommit=True) as server:
        server.execute('CREATE DATABASE "a shop/ä" TEMPLATE template0')
        try:
            url = (
                f"postgresql://{known['user']}:{quote(str(known['password']), safe='')}"
                f"@{known['host']}:{known['port']}/a%20shop%2F%C3%A4?options=-c%20work_mem%3D3MB"
            )
            assert migrate.upgrade(url) == schema.current(url) == schema.head()
            with migrate.engine(url).connect() as connection:
                assert connection.execute(text("SHOW work_mem")).scalar_one() == "3MB"
            by_the_pool(url)
        finally:
            server.execute('DROP DATABASE "a shop/ä" WITH (FORCE)')


class Eavesdropper(socketserver.StreamRequestHandler):
    """A server without TLS that asks for the password in clear."""

    heard: ClassVar[list[bytes]] = []

    @override
    def handle(self) -> None:
        while head := self.rfile.read(4):
            if head == b"p\0\0\0":  # the password
                self.heard.append(self.rfile.read(1 + 5))
                return
            message = self.rfile.read(int.from_bytes(head, "big") - 4)
            is_ssl_request = message == SSL_REQUEST[4:]
            self.wfile.write(b"N" if is_ssl_request else b"R\0\0\0\x08\0\0\0\x03")


@pytest.fixture
def eavesdropper() -> Iterator[int]:
    Eavesdropper.heard.clear()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Eavesdropper) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("way", WAYS)
def test_a_server_elsewhere_without_tls_does_not_get_the_password(
    way: Callable[[str], None], eavesdropper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projector.postgres.address.is_local", lambda _: False)
    url = f"postgresql://u:hush@127.0.0.1:{eavesdropper}/d"
    with pytest.raises(ConfigurationError, match=r"no TLS.*sslmode=disable"):
        way(url)
    assert Eavesdropper.heard == []
    with pytest.raises(SinkUnavailable):
        way(f"{url}?sslmode=disable")
    assert Eavesdropper.heard[0].endswith(b"hush\0")


class NobodyBehind(socketserver.StreamRequestHandler):
    """A load balancer whose server is gone: it takes the connection and ends it."""

    @override
    def handle(self) -> None:
        self.rfile.read(len(SSL_REQUEST))


@pytest.mark.parametrize("way", WAYS)
def test_a_load_balancer_without_a_server_is_an_outage(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing of TLS, so nobody has to mend that."""
    monkeypatch.setattr("projector.postgres.address.is_local", lambda _: False)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), NobodyBehind) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            with pytest.raises(SinkUnavailable):
                way(f"postgresql://u:hush@127.0.0.1:{server.server_address[1]}/d")
        finally:
            server.shutdown()
            thread.join()
