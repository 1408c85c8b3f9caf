"""Where the target is, as libpq reads it: the one parser, so that we connect as psql does.

Nothing here takes a URL apart by itself. What libpq cannot read is refused in a line that repeats no
part of it, since any part may be a piece of the password. So is a URL whose password was not
encoded: an `@` or `/` in it moves the rest of the password to where the host and the database stand,
and both are shown. Libpq ends the credentials at the first `@` that stands before any `/`, so a second
`@`, or one behind a `/`, tells of it.
Source: PostgreSQL documentation, "Connection URIs"; libpq's `conninfo_uri_parse_options`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from projector.core.errors import SettingsError
from projector.core.secrets import conceal

SCHEMES = ("postgresql://", "postgres://")
DEFAULT_PORT = 5432
SYSTEM = "system"
NO_SERVER = "/nonexistent"
"""A socket folder without a server: libpq checks all options before it looks for one."""

INTEGERS = ("port", "keepalives")
"""What libpq looks at too late, and we do not set ourselves."""

UNREADABLE = (
    "libpq cannot read it; give a URL such as postgresql://user:password@host:5432/shop,"
    " where a password with any of @ / # ? % or a space is percent-encoded, as %40 for @"
)
NOT_PRINTABLE = (
    "it holds a line break or another character that cannot be printed; percent-encode it"
)
NOT_ENCODED = (
    "an @ stands where none can: in a password any of @ / # ? % has to be percent-encoded,"
    " as %40 for @; so has an @ in any other part"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One of the servers of an address.

    Attributes:
        name: as it is called, and as its certificate has to call it; empty for the usual socket.
        where: what to connect to, where that is another one (`hostaddr`).
    """

    name: str
    where: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A target's address, checked.

    Attributes:
        url: as it was given; holds the password, never shown.
        options: what it says, as libpq names it; holds the password, never shown.
    """

    url: str = field(repr=False)
    options: Mapping[str, str] = field(repr=False)

    @property
    def place(self) -> str:
        """Host, port and database, for logs."""
        servers = ",".join(f"{one.name or 'local'}:{one.port}" for one in self.servers)
        database = self._option("dbname", "PGDATABASE") or self._option("user", "PGUSER")
        return f"{servers}/{database}"

    @property
    def servers(self) -> Sequence[Server]:
        """In the order in which they are tried."""
        named = self._option("host", "PGHOST").split(",")
        at = self._option("hostaddr", "PGHOSTADDR").split(",")
        ports = self._option("port", "PGPORT").split(",")
        count = max(len(named), len(at))
        return [
            Server(name=name or where, where=where or name, port=int(port or DEFAULT_PORT))
            for name, where, port in zip(
                _repeated(named, count), _repeated(at, count), _repeated(ports, count), strict=True
            )
        ]

    @property
    def is_local(self) -> bool:
        """Whether nothing leaves this machine: sockets and loopback addresses only."""
        hosts = self._option("hostaddr", "PGHOSTADDR") or self._option("host", "PGHOST")
        return all(is_local(host) for host in hosts.split(","))

    @property
    def sslmode(self) -> str | None:
        """What was said about TLS, here or in PGSSLMODE; None when nothing was."""
        # As libpq takes it: whoever trusts the certificates of all authorities means the name, too.
        implied = "verify-full" if self.root_certificates == SYSTEM else None
        return self._option("sslmode", "PGSSLMODE") or implied

    @property
    def root_certificates(self) -> str:
        """The file to check a server's certificate with, or `system`."""
        usual = Path.home() / ".postgresql" / "root.crt"
        return self._option("sslrootcert", "PGSSLROOTCERT") or str(usual)

    @property
    def service(self) -> str:
        """Name of a section of libpq's service file, which may say all the rest."""
        return self._option("service", "PGSERVICE")

    def _option(self, name: str, variable: str) -> str:
        return self.options.get(name) or os.environ.get(variable, "")


def address(url: str) -> Address:
    """Read and check an address; its secrets are concealed from here on.

    Raises:
        SettingsError: One line with the remedy and without any part of the address.
    """
    conceal([url])
    if url.startswith(SCHEMES) and _has_stray_at(url):
        raise _refused(NOT_ENCODED)
    if not url.isprintable():
        raise _refused(NOT_PRINTABLE)
    try:
        options = {name: str(value) for name, value in conninfo_to_dict(url).items()}
        found = pq.Conninfo.parse(url.encode())
    except (psycopg.Error, UnicodeError):
        raise _refused(UNREADABLE) from None
    secret = [one for one in (*found, *pq.Conninfo.get_defaults()) if one.dispchar == b"*"]
    public = [options[name] for name in ("user", "dbname", "host") if name in options]
    conceal([one.val.decode(errors="replace") for one in secret if one.val], public=public)
    _check_options(options)
    return Address(url=url, options=options)


def _has_stray_at(url: str) -> bool:
    before, _, behind = url.partition("://")[2].partition("@")
    return "@" in behind or ("/" in before and "@" in url)


def _check_options(options: Mapping[str, str]) -> None:
    """Libpq looks at the options before it makes an attempt; this attempt leads nowhere."""
    for name in INTEGERS:
        if not all(each.isdecimal() or not each for each in options.get(name, "").split(",")):
            raise _refused(f"its {name} is not a number")
    count = max(options.get(name, "").count(",") for name in ("host", "hostaddr")) + 1
    # An empty `hostaddr` outranks one of the environment or of a service file, where a server may be.
    nowhere = {"host": ",".join([NO_SERVER] * count), "hostaddr": ""}
    kept = {name: value for name, value in options.items() if name not in {"host", "hostaddr"}}
    if not _refuses({**kept, **nowhere}):
        return
    if _refuses(nowhere):
        set_here = ", ".join(sorted(_variables() & os.environ.keys()))
        raise _refused(f"libpq refuses what one of these variables says: {set_here}")
    # Which one is told by asking about each: libpq's own sentence repeats the value.
    alone = [name for name, value in kept.items() if _refuses({name: value, **nowhere})]
    together = ", ".join(sorted(kept))
    raise _refused(f"libpq refuses its {', '.join(alone) or f'options together: {together}'}")


def _variables() -> set[str]:
    known = pq.Conninfo.get_defaults()
    return {one.envvar.decode() for one in known if one.envvar is not None}


def _refuses(options: Mapping[str, str]) -> bool:
    return pq.PGconn.ping(make_conninfo(**options).encode()) == pq.Ping.NO_ATTEMPT


def is_local(host: str) -> bool:
    """Whether a host, as libpq names it, is this machine: a socket or a loopback address."""
    if not host or host[0] in "/@" or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _repeated(values: list[str], count: int) -> list[str]:
    return values * count if len(values) == 1 else values


def _refused(reason: str) -> SettingsError:
    return SettingsError(f"PROJECTOR_DATABASE_URL: {reason}")
