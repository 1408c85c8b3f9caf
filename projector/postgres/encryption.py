"""Password and carts do not cross a network in clear unless somebody allowed it by name.

Libpq by itself prefers TLS and goes on without. Here a server elsewhere has to offer it, unless the
address (or PGSSLMODE) says how it is to be: `sslmode=disable` is the permission. Sockets and loopback
addresses are exempt. That a server offers none is told by its answer to the first message of the
protocol, not by the words of an error.
Source: PostgreSQL documentation, "SSL Support" and "Message Formats" (SSLRequest).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import AsyncConnection, Connection

from projector.core.errors import ConfigurationError
from projector.postgres.address import Address, is_local

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
NO_TLS = b"N"
PROBE_SECONDS = 2.0
CHECKED = ("verify-ca", "verify-full")


class Encryption(StrEnum):
    """What protects a session."""

    LOCAL = "local"
    CHECKED = "checked"
    UNCHECKED = "unchecked"
    NONE = "none"


def demanded(target: Address) -> Mapping[str, str]:
    """What to tell libpq beside the address."""
    # A section of a service file may say more than we could see, so it is judged afterwards.
    if target.is_local or target.sslmode is not None or target.service:
        return {}
    return {"sslmode": "require"}


def encryption(connection: Connection[Any] | AsyncConnection[Any]) -> Encryption:
    """What protects this session."""
    info = connection.info
    if info.pgconn.ssl_in_use:
        mode = info.get_parameters().get("sslmode")
        return Encryption.CHECKED if mode in CHECKED else Encryption.UNCHECKED
    if is_local(info.hostaddr or info.host):
        return Encryption.LOCAL
    return Encryption.UNCHECKED if info.pgconn.used_gssapi else Encryption.NONE


def check_encrypted(target: Address, connection: Connection[Any] | AsyncConnection[Any]) -> None:
    """Refuse a session in clear that nobody allowed. Raises ConfigurationError."""
    if target.sslmode is None and encryption(connection) is Encryption.NONE:
        raise ConfigurationError(in_clear(connection.info.host))


def offers_none(target: Address, error: psycopg.Error) -> str | None:
    """The host that offers no TLS, where one was demanded: why a connection failed; else None."""
    if error.sqlstate is not None or not demanded(target):
        return None
    return next((host for host, port in target.servers if _offers_none(host, port)), None)


def in_clear(host: str) -> str:
    """The cause and the remedies, on one line."""
    return (
        f"PostgreSQL at {host} offers no TLS, so the password and the carts would go in clear: switch"
        " TLS on there, or allow it by name with sslmode=disable in the URL (...:5432/shop?sslmode=disable)"
    )


def _offers_none(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=PROBE_SECONDS) as server:
            server.sendall(SSL_REQUEST)
            return server.recv(1) == NO_TLS
    except OSError:
        return False
