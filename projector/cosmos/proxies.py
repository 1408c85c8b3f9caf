"""The proxy that the environment names for an address: HTTP_PROXY, HTTPS_PROXY, NO_PROXY.

Read once for each client and host. This machine itself is never asked for through a proxy, as in
Go: what listens on a loopback address here is not what the proxy would find there.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from projector.core.errors import ConfigurationError
from projector.core.secrets import conceal

SPOKEN = frozenset({"http", "https"})


class EnvironmentProxies:
    """Proxies by host, as the environment stands at the first look."""

    def __init__(self) -> None:
        """Look at nothing yet."""
        self._found: dict[str, str | None] = {}

    def __call__(self, url: str) -> str | None:
        """The proxy's URL, with its user and password; None: go there directly."""
        scheme, _, host, *_ = url.split("/", 3)
        origin = f"{scheme}//{host}"
        if origin not in self._found:
            self._found[origin] = proxy_for(origin)
        return self._found[origin]

    def shown(self, url: str) -> str | None:
        """The proxy as messages may name it: without user and password."""
        try:
            proxy = self(url)
        except ConfigurationError:  # told by the first request
            return None
        return None if proxy is None else urlsplit(proxy).netloc.rpartition("@")[2]


def proxy_for(url: str) -> str | None:
    """The proxy for this URL. Raises ConfigurationError for one that is not spoken here."""
    parts = urlsplit(url)
    named = getproxies().get(parts.scheme)
    if not named or _is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    proxy = named if "://" in named else f"http://{named}"
    found = urlsplit(proxy)
    if found.password:
        conceal([found.password, unquote(found.password)])
    if found.scheme not in SPOKEN or not found.hostname:
        raise ConfigurationError(
            f"{parts.scheme.upper()}_PROXY names no http proxy: write http://HOST:PORT, or except"
            f" {parts.hostname} in NO_PROXY"
        )
    return proxy


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
