"""Password and carts do not cross a network in clear unless somebody allowed it by name.

Libpq by itself prefers TLS and goes on without. Here a server elsewhere has to offer it, unless the
address (or PGSSLMODE) says how it is to be: `sslmode=disable` is the permission. Sockets and loopback
addresses are exempt. That a server offers none, or a certificate that does not hold good, is told by
its answer to the first messages of the protocol, not by the words of an error.
Source: PostgreSQL documentation, "SSL Support" and "Message Formats" (SSLRequest).
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection, Connection

from projector.core.errors import ConfigurationError
from projector.ports.diagnosis import Encryption
from projector.postgres.address import SYSTEM, Address, Server, is_local

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
TLS = b"S"
NO_TLS = b"N"
PROBE_SECONDS = 2.0
ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Red Hat
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)
CHECKED = ("verify-ca", "verify-full")


def demanded(target: Address) -> Mapping[str, str]:
    """What to tell libpq beside the address."""
    if target.root_certificates == SYSTEM and (roots := _roots_of_this_machine()) is not None:
        return {"sslrootcert": roots, "sslmode": target.sslmode or "verify-full"}
    # A section of a service file may say more than we could see, so it is judged afterwards.
    if target.is_local or target.sslmode is not None or target.service:
        return {}
    return {"sslmode": "require"}


def _roots_of_this_machine() -> str | None:
    """Where `system` is: the driver's wheel brings an OpenSSL that looks where no machine has any."""
    if "SSL_CERT_FILE" in os.environ:
        return None
    known = (ssl.get_default_verify_paths().cafile, *ROOTS)
    return next((file for file in known if file and Path(file).is_file()), None)


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


def mistake(target: Address, error: psycopg.Error) -> str | None:
    """What a person has to mend about TLS, when that is why a connection failed; else None.

    Told by asking the servers again, for a moment: libpq has only a sentence for it.
    """
    if error.sqlstate is not None or target.is_local:
        return None
    checked = target.sslmode in CHECKED
    if checked and target.root_certificates not in {SYSTEM, *_existing(target.root_certificates)}:
        return (
            f"there is no file of root certificates {target.root_certificates} to check the server's"
            " with: name one in the URL, sslrootcert=FILE, or those of this machine, sslrootcert=system"
        )
    for server in target.servers:
        try:
            offered = _shake_hands(server, _context(target) if checked else None)
        except ssl.SSLCertVerificationError as refused:
            return f"the certificate of PostgreSQL at {server.name} is not accepted: {refused.verify_message}"
        except (OSError, ValueError):
            continue
        if offered is False and (checked or target.sslmode in {None, "require"}):
            return in_clear(server.name)
    return None


def _existing(path: str) -> set[str]:
    return {path} if Path(path).is_file() else set()


def _context(target: Address) -> ssl.SSLContext:
    roots = target.root_certificates
    file = (
        (_roots_of_this_machine() or os.environ.get("SSL_CERT_FILE")) if roots == SYSTEM else roots
    )
    context = ssl.create_default_context(cafile=file)
    context.check_hostname = target.sslmode == "verify-full"
    return context


def _shake_hands(server: Server, context: ssl.SSLContext | None) -> bool | None:
    """Whether the server offers TLS; with a context its certificate has to hold good there.

    None when it does not say, as a load balancer does that has no server to pass us on to.
    """
    place = (server.where, server.port)
    with socket.create_connection(place, timeout=PROBE_SECONDS) as connection:
        connection.sendall(SSL_REQUEST)
        answer = connection.recv(1)
        if answer == TLS and context is not None:
            with context.wrap_socket(connection, server_hostname=server.name):
                pass
    return {TLS: True, NO_TLS: False}.get(answer)


def in_clear(host: str) -> str:
    """The cause and the remedies, on one line."""
    return (
        f"PostgreSQL at {host} offers no TLS, so the password and the carts would go in clear: switch"
        " TLS on there, or allow it by name with sslmode=disable in the URL (...:5432/shop?sslmode=disable)"
    )
