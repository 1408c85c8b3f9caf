"""Who may look at the console: nobody by accident, and no stranger's page through a browser.

On loopback whoever is on the machine may. On any other address a token is asked for, as a Bearer header
or once in a form, which leaves a cookie; without a token in the settings there is no console there. The
Host header is checked because a name that a stranger made to point here (DNS rebinding) would let their
page read ours; an address as it is typed is no such name.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from urllib.parse import urlsplit

COOKIE = "projector_console"
LOCAL_NAMES = frozenset({"localhost"})


class Answer(Enum):
    """What a request for the console gets."""

    WELCOME = auto()
    WRONG_HOST = auto()
    CLOSED = auto()
    TOKEN_NEEDED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rules of one address.

    Attributes:
        host: where we listen.
        token: what has to be shown; None: nothing, so only loopback is open.
        names: further names that we are reached by, as behind an ingress.
    """

    host: str
    token: str | None = field(default=None, repr=False)
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, *, host: str, token: str | None, names: Iterable[str]) -> Access:
        """The rules as the settings say them."""
        return cls(host=host, token=token, names=frozenset(name.lower() for name in names))

    @property
    def closed(self) -> bool:
        """Whether there is no console on this address."""
        return self.token is None and not is_loopback(self.host)

    def answer(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> Answer:
        """What the request gets."""
        if not self._is_our_name(headers.get("Host", "")) or _is_a_strangers_request(headers):
            return Answer.WRONG_HOST
        if self.closed:
            return Answer.CLOSED
        if self.token is None or self._shows_token(headers, cookies):
            return Answer.WELCOME
        return Answer.TOKEN_NEEDED

    def admits(self, token: str) -> bool:
        """Whether it is the token; takes as long for one that is nearly right."""
        return self.token is not None and same(token, self.token)

    @property
    def cookie(self) -> str:
        """What the cookie holds: made of the token, which cannot be told from it."""
        key = (self.token or "").encode()
        return hmac.new(key, b"projector console", hashlib.sha256).hexdigest()

    def _shows_token(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        kind, _, shown = headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.admits(shown.strip()):
            return True
        return same(cookies.get(COOKIE, ""), self.cookie)

    def _is_our_name(self, header: str) -> bool:
        name = _name_of(header)
        if name is None:
            return False
        return is_address(name) or name in {*LOCAL_NAMES, self.host.lower(), *self.names}


def _is_a_strangers_request(headers: Mapping[str, str]) -> bool:
    """Whether a page of somebody else asks, which cannot read the answer, but takes a listener's place.

    A link that is followed comes from another page, too, and is welcome. Source: Fetch Metadata.
    """
    site = headers.get("Sec-Fetch-Site", "none")
    return site in {"cross-site", "same-site"} and headers.get("Sec-Fetch-Mode") != "navigate"


def same(one: str, other: str) -> bool:
    """Compares secrets in a time that tells nothing of them."""
    return hmac.compare_digest(
        one.encode(errors="surrogateescape"), other.encode(errors="surrogateescape")
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    if host.lower() in LOCAL_NAMES:
        return True
    return is_address(host) and ipaddress.ip_address(host).is_loopback


def is_address(name: str) -> bool:
    """Whether it is no name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name_of(header: str) -> str | None:
    """The header without its port; None where it cannot be read."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None
