"""The one client of a Cosmos account: lent out, rebuilt when suspect, closed when unused.

Every call of the SDK happens inside `CosmosGateway.container(...)`, which bounds it in time and
turns whatever leaves it into errors of the project. What looks like an outage to one call may be a
mistake to those before and after it: a host name that was never found, an identity that new clients
with new tokens cannot get past. The SDK's own retries are kept small: waiting is the business of the
loops above, which see 429 and outages at once. Only failover between regions stays with the SDK.
Sharing one client between ranges is safe because nobody reads its `last_response_headers` (see
`monitored`).
Source: azure-cosmos 4.17.1; trap T6 (aged Entra tokens) of
tests/integration/cosmos/test_traps.py.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urlsplit

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError
from azure.cosmos.aio import ContainerProxy, CosmosClient, DatabaseProxy

from projector.core.errors import (
    ConfigurationError,
    CredentialExpired,
    ProjectorError,
    SinkUnavailable,
    SourceUnavailable,
)
from projector.core.secrets import conceal
from projector.cosmos.faults import (
    SDK_ERRORS,
    ContainerLabel,
    RegionMoved,
    one_line,
    translate,
    without_role,
)
from projector.cosmos.transport import EnvironmentProxies, Meter, Transport
from projector.cosmos.unreachable import NameUnknown

CredentialFactory = Callable[[], AsyncTokenCredential]


def default_credential() -> AsyncTokenCredential:
    """Managed identity, `az login` and so on, in the order of azure-identity."""
    from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - 15 MB that a key spares

    return DefaultAzureCredential()


SOURCE_SETTINGS = "PROJECTOR_COSMOS_DATABASE and PROJECTOR_COSMOS_CONTAINER"
REFUSED_CLIENTS = 4
"""New clients, each with a token of its own, that must be refused before it is not the token's age."""

LEASE_SETTINGS = "PROJECTOR_LEASE_DATABASE and PROJECTOR_LEASE_CONTAINER"


@dataclass(frozen=True, slots=True, kw_only=True)
class CosmosAccount:
    """How an account is reached.

    Attributes:
        endpoint: its URL.
        key: account key; None: `credential` signs in.
        credential: makes an Entra credential, anew for each client.
        verify_tls: False accepts any certificate (emulators).
        connect_timeout_seconds, read_timeout_seconds: of one request on the wire; a read that
            gets no byte for that long is an outage.
        deadline_seconds: of one call with everything the SDK does inside it; below the lease
            expiration, so that a hung call never outlives the lease.
        throttled_seconds: how much of it may be spent on waiting while throttled; 0 leaves that to
            the loop above.
        courtesy: arguments of the SDK for each request about documents of a monitored container, so
            that the service lets others go first.
        meter: told of each answered request.
    """

    endpoint: str
    key: str | None = field(default=None, repr=False)
    credential: CredentialFactory = field(default=default_credential, repr=False)
    verify_tls: bool = True
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 15.0
    deadline_seconds: float = 30.0
    throttled_seconds: float = 0.0
    courtesy: Mapping[str, Any] = field(default_factory=dict)
    meter: Meter = field(default=lambda spent: None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what could never connect, without repeating a secret; the key is one from here on."""
        conceal([] if self.key is None else [self.key])
        if not self.host:
            raise ConfigurationError(
                "PROJECTOR_COSMOS_ENDPOINT is not a URL such as https://acme.documents.azure.com:443/"
            )
        if self.key is None and not self.endpoint.lower().startswith("https:"):
            raise ConfigurationError(
                "PROJECTOR_COSMOS_ENDPOINT must be https to sign in with Entra: correct it,"
                " or set PROJECTOR_COSMOS_KEY"
            )
        if self.key is not None and not _is_base64(self.key):
            raise ConfigurationError(
                "PROJECTOR_COSMOS_KEY is not an account key: a key is Base64 text"
            )

    @property
    def host(self) -> str:
        """Host of the endpoint, lower case, without port: part of every lease id."""
        try:
            parts = urlsplit(self.endpoint)
        except ValueError:
            return ""
        return (parts.hostname or "") if parts.scheme in {"http", "https"} else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPath:
    """Names of a container; `settings` are what a person would correct when it is missing."""

    database: str
    container: str
    settings: str = SOURCE_SETTINGS


class CosmosGateway:
    """Lends the containers of one account; opens its client with the first loan."""

    def __init__(self, account: CosmosAccount) -> None:
        """Take the account; nothing is connected yet."""
        self.account = account
        self._proxies = EnvironmentProxies()
        self._current: _Connection | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._reached = False
        self._refused: dict[ContainerPath, _Refusals] = {}

    async def __aenter__(self) -> Self:
        """Leave connecting to the first loan."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    @asynccontextmanager
    async def container(self, path: ContainerPath) -> AsyncIterator[ContainerProxy]:
        """Lend a container for one call.

        Raises: errors of the project only, within `deadline_seconds`.
        """
        async with self._lend(path) as connection:
            yield connection.container(path)

    @asynccontextmanager
    async def database(self, path: ContainerPath) -> AsyncIterator[DatabaseProxy]:
        """Lend the database of a container, to create it there. Raises as `container` does."""
        async with self._lend(path) as connection:
            yield connection.client.get_database_client(path.database)

    async def rebuild(self) -> None:
        """Let the next loan open a new client and credential, if the present one ever failed.

        The old one is closed when its last loan ends. Many ranges may ask at once.
        """
        async with self._opening:
            if self._current is not None and self._current.suspect:
                retired, self._current = self._current, None
                await retired.retire()

    async def close(self) -> None:
        """Close the client; loans still out fail as outages."""
        async with self._opening:
            self._closed = True
            if self._current is not None:
                retired, self._current = self._current, None
                await retired.close()

    def label(self, path: ContainerPath) -> ContainerLabel:
        """What messages say of a container."""
        return ContainerLabel(
            endpoint=self.account.endpoint,
            database=path.database,
            container=path.container,
            settings=path.settings,
            has_key=self.account.key is not None,
            proxy=self._proxies.shown(self.account.endpoint),
        )

    @asynccontextmanager
    async def _lend(self, path: ContainerPath) -> AsyncIterator[_Connection]:
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self.account.deadline_seconds):
                connection = self._current or await self._open()
                with connection.lent():
                    yield connection
            self._reached = True
            self._refused.pop(path, None)
        except ProjectorError as error:
            judged = await self._judged(error, path, connection)
            if judged is error:
                raise
            raise judged from error
        except SDK_ERRORS as error:
            meant = translate(error, self.label(path))
            raise await self._judged(meant, path, connection) from error
        finally:
            if connection is not None:
                await connection.close_if_done()

    async def _judged(
        self, error: ProjectorError, path: ContainerPath, connection: _Connection | None
    ) -> ProjectorError:
        """What the error is, after what this gateway has seen; a client that caused it goes."""
        match error:
            case NameUnknown() if not self._reached:
                return ConfigurationError(str(error))
            case RegionMoved():
                await self.rebuild()
            case CredentialExpired() if connection is not None:
                clients = self._refused.setdefault(path, _Refusals())
                clients.count(connection)
                await self.rebuild()
                if clients.counted >= REFUSED_CLIENTS:
                    return without_role(self.label(path))
            case _:
                pass
        return error

    async def _open(self) -> _Connection:
        async with self._opening:
            if self._closed:
                raise SourceUnavailable(f"the client of {self.account.endpoint} is closed")
            if self._current is None:
                self._current = await _Connection.open(self.account, self._proxies)
            return self._current


@dataclass(slots=True)
class _Refusals:
    """Clients in a row whose Entra token was refused for one container."""

    counted: int = 0
    last: _Connection | None = None

    def count(self, connection: _Connection) -> None:
        if connection is not self.last:
            self.counted, self.last = self.counted + 1, connection


class _Connection:
    """One client with its credential, counted so that it is closed under nobody's feet."""

    def __init__(self, account: CosmosAccount, proxies: EnvironmentProxies) -> None:
        self._credential = None if account.key is not None else account.credential()
        self.client = _new_client(account, self._credential, proxies)
        self._containers: dict[ContainerPath, ContainerProxy] = {}
        self._loans = 0
        self._retired = False
        self.suspect = False

    @classmethod
    async def open(cls, account: CosmosAccount, proxies: EnvironmentProxies) -> Self:
        connection = cls(account, proxies)
        try:
            await connection.client.__aenter__()
        except BaseException:
            await connection.close()
            raise
        return connection

    def container(self, path: ContainerPath) -> ContainerProxy:
        if path not in self._containers:
            database = self.client.get_database_client(path.database)
            self._containers[path] = database.get_container_client(path.container)
        return self._containers[path]

    @contextmanager
    def lent(self) -> Iterator[None]:
        self._loans += 1
        try:
            yield
        except BaseException:
            self.suspect = True
            raise
        finally:
            self._loans -= 1

    async def retire(self) -> None:
        self._retired = True
        await self.close_if_done()

    async def close_if_done(self) -> None:
        """Close when retired and no longer lent."""
        if self._retired and not self._loans:
            await self.close()

    async def close(self) -> None:
        """Close both; twice is fine."""
        self._retired = False
        await self.client.close()
        if self._credential is not None:
            await self._credential.close()


def _new_client(
    account: CosmosAccount, credential: AsyncTokenCredential | None, proxies: EnvironmentProxies
) -> CosmosClient:
    # No retries: waiting is the business of the loops above. What the SDK would do about a 429 it
    # never sees, because the transport ends the call.
    return CosmosClient(
        account.endpoint,
        credential=account.key if credential is None else credential,  # type: ignore[arg-type]  # one of them is set
        transport=Transport(
            verify_tls=account.verify_tls,
            throttled_seconds=account.throttled_seconds,
            proxies=proxies,
            meter=account.meter,
        ),
        connection_timeout=account.connect_timeout_seconds,
        read_timeout=account.read_timeout_seconds,
        retry_total=0,
        retry_connect=0,
        retry_read=0,
        retry_status=0,
        user_agent_suffix="cosmos-projector",
    )


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


POSTGRESQL = "https://ossrdbms-aad.database.windows.net/.default"
"""The scope of Azure Database for PostgreSQL."""


async def postgresql_token(
    credential: CredentialFactory = default_credential,
) -> tuple[str, datetime]:
    """A token for PostgreSQL, and when it ends.

    Raises:
        SinkUnavailable: Entra gave none; the message says why.
    """
    made = credential()
    try:
        token = await made.get_token(POSTGRESQL)
    except AzureError as error:
        raise SinkUnavailable(
            f"Entra gave no token for PostgreSQL: {one_line(str(error))}"
        ) from error
    finally:
        await made.close()
    return token.token, datetime.fromtimestamp(token.expires_on, UTC)
