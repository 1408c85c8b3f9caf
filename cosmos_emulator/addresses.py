"""Which addresses a server answers on, and why it cannot listen.

No packet is sent: connecting a datagram socket only asks the system which address it would use.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from ipaddress import ip_address

_EVERY_ADDRESS = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}  # noqa: S104 - compared, not bound
_LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses of documentation (RFC 5737, RFC 3849), which nobody has."""


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches a server there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def addresses_of(host: str) -> list[str]:
    """The addresses behind a host to listen on, the one for this machine's own use first."""
    family = _EVERY_ADDRESS.get(host)
    if family is None:
        return [host]
    found = [_LOOPBACK[family]]
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.connect((_ELSEWHERE[family], 9))
        found.append(asking.getsockname()[0])
    with suppress(OSError):
        found += [
            str(each[4][0]) for each in socket.getaddrinfo(socket.gethostname(), None, family)
        ]
    return list(dict.fromkeys(found))


def url(scheme: str, host: str, port: int) -> str:
    """The address as clients write it."""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


def cannot_listen(host: str, port: int, error: OSError) -> str:
    """Says in one line why, and what to do."""
    place = f"cannot listen on {host} port {port}"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{place}: this machine has no such address; try --host 127.0.0.1"
    if error.errno == errno.EADDRINUSE:
        return f"{place}: it is taken; try --port 0 for any free one"
    if error.errno == errno.EACCES:
        return f"{place}: the system does not allow it; try a port above 1023"
    return f"{place}: {error.strerror or error}"
