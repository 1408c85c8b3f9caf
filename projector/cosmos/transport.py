"""The transport under the SDK: what holds for every request, whoever sends it.

- A throttled answer ends the call at once: the SDK would sleep as long as the service says, in the
  middle of it, and the loop above decides how long to wait. A command, which has no such loop, waits
  here, for so many seconds.
- Certificates are checked as the setting says: the SDK checks none of `localhost` and `127.0.0.1`.
- The environment's proxy is used (see `proxies`), and nothing else of the environment: aiohttp would
  look up netrc in a thread for each request, and put what it finds in place of our authorization.
- The account itself (`GET /`), which the SDK reads from time to time to learn of other regions, is
  spoken of once when it stops answering: nothing else depends on it, and the SDK would write a
  traceback for each request that follows.

Source: azure-cosmos 4.17.1; an error that is none of azure-core's passes its retries.

The proxy that the environment names for an address: HTTP_PROXY, HTTPS_PROXY, NO_PROXY.

Read once for each client and host. This machine itself is never asked for through a proxy, as in
Go: what listens on a loopback address here is not what the proxy would find there.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import structlog
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import AioHttpTransport
from typing_extensions import override

from projector.core.errors import ConfigurationError
from projector.core.pacing import retry_seconds
from projector.core.secrets import conceal
from projector.cosmos.faults import one_line, throttled
from projector.cosmos.wire import (
    DATABASE_ACCOUNT,
    DOCUMENTS,
    FIRST_ERROR,
    HTTP_TOO_MANY_REQUESTS,
    RESOURCE_TYPE,
    RETRY_AFTER,
    charge,
    wait_seconds,
)
from projector.ports.feed import Spent

ACCOUNT_SILENT = "account_silent"
ACCOUNT_BACK = "account_back"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


OPERATION_TYPE = "x-ms-thinclient-proxy-operation-type"
FEED = "A-IM"
CONTAINER = re.compile(r"/colls/([^/?]+)")


Meter = Callable[[Spent], object]


def spent_on(request: Any, response: Any) -> Spent:
    """What a request was for, by its own headers, and what its answer says that it cost."""
    headers = request.headers
    container = CONTAINER.search(request.url)
    is_about_documents = headers.get(RESOURCE_TYPE) == DOCUMENTS
    operation = "metadata"
    if is_about_documents:
        told = str(headers.get(OPERATION_TYPE) or "").lower()
        operation = "feed" if FEED in headers else OPERATIONS.get(told, "query")
    return Spent(
        container="" if container is None else unquote(container[1]),
        operation=operation,
        request_units=charge(response.headers),
        throttled=response.status_code == HTTP_TOO_MANY_REQUESTS,
    )


OPERATIONS: Mapping[str, str] = {
    "read": "read",
    **dict.fromkeys(("create", "upsert", "replace", "patch", "delete"), "write"),
}
"""Of documents; whatever else is asked of them is a query."""


class Transport(AioHttpTransport):  # type: ignore[misc]  # azure-core imports it lazily, untyped
    """One HTTP session of one client."""

    def __init__(
        self,
        *,
        verify_tls: bool,
        throttled_seconds: float,
        proxies: EnvironmentProxies,
        meter: Meter = lambda spent: None,
    ) -> None:
        """Take what a person has chosen, where the proxies are, and who counts what is spent."""
        super().__init__(use_env_settings=False)
        self._verify_tls = verify_tls
        self._throttled_seconds = throttled_seconds
        self._proxies = proxies
        self._meter = meter
        self._account = _AccountReads()
        logging.getLogger("azure.cosmos.aio._GlobalEndpointManager").setLevel(logging.CRITICAL)

    @override
    async def send(self, request: Any, **options: Any) -> Any:
        """Send one request. Raises Throttled and ConfigurationError beside what the SDK expects."""
        tries, waited_seconds = 0, 0.0
        while True:
            response = await self._send(request, options)
            if response.status_code != HTTP_TOO_MANY_REQUESTS:
                return response
            error = throttled(wait_seconds(response.headers.get(RETRY_AFTER)))
            tries += 1
            seconds = retry_seconds(error, tries, draw=random.random())  # noqa: S311 - hides nothing
            waited_seconds += seconds
            if waited_seconds > self._throttled_seconds:
                raise error
            await asyncio.sleep(seconds)

    async def _send(self, request: Any, options: Mapping[str, Any]) -> Any:
        chosen = {"connection_verify": self._verify_tls, "proxy": self._proxies(request.url)}
        try:
            response = await super().send(request, **{**options, **chosen})
        except AzureError as error:
            self._account.note(request.headers, failure=one_line(str(error)))
            raise
        self._meter(spent_on(request, response))
        status = response.status_code
        self._account.note(request.headers, failure=str(status) if status >= FIRST_ERROR else None)
        return response


class _AccountReads:
    """Tells when the account stops answering, once it has answered, and when it is back."""

    def __init__(self) -> None:
        self._answered = False
        self._told = False

    def note(self, headers: Mapping[str, str], *, failure: str | None) -> None:
        """Take how a request ended; None: well."""
        if headers.get(RESOURCE_TYPE) != DATABASE_ACCOUNT:
            return
        if failure is None:
            if self._told:
                log.info(ACCOUNT_BACK)
            self._answered, self._told = True, False
        elif self._answered and not self._told:
            log.warning(ACCOUNT_SILENT, error=failure)
            self._told = True


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
