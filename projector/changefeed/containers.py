"""Containers as a user of the library names them: by address, or by the SDK's own object.

From an SDK object only the address and the credential are taken; requests go through clients
of our own, because reading a feed safely needs settings that must not change under others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from projector.core.errors import ConfigurationError
from projector.cosmos.client import ContainerPath, CosmosAccount, CosmosGateway


@dataclass(frozen=True, slots=True, kw_only=True)
class CosmosContainer:
    """Where a container is and how to sign in.

    Attributes:
        endpoint: URL of the account.
        database, container: names.
        key: account key; without it `credential` signs in.
        credential: an `azure.identity.aio` credential, lent (it is never closed here); without
            key and credential DefaultAzureCredential is used.
        verify_tls: False accepts any certificate, for emulators.
    """

    endpoint: str
    database: str
    container: str
    key: str | None = field(default=None, repr=False)
    credential: Any = field(default=None, repr=False)
    verify_tls: bool = True

    @classmethod
    def of(cls, proxy: Any) -> Self:
        """Take the address and the credential of an `azure.cosmos.aio.ContainerProxy`.

        Raises: ConfigurationError for anything else.
        """
        try:
            connection = proxy.client_connection
            return cls(
                endpoint=connection.url_connection,
                database=str(proxy.database_link).rpartition("/")[2],
                container=proxy.id,
                key=connection.master_key,
                credential=connection.aad_credentials,
            )
        except AttributeError as error:
            raise ConfigurationError(
                f"{type(proxy).__name__} is no container: give a CosmosContainer or a"
                " ContainerProxy of azure.cosmos.aio"
            ) from error

    @property
    def account(self) -> CosmosAccount:
        """The account, as our client takes it."""
        if self.key is not None or self.credential is None:
            return CosmosAccount(endpoint=self.endpoint, key=self.key, verify_tls=self.verify_tls)
        lent = _Lent(self.credential)
        return CosmosAccount(
            endpoint=self.endpoint, credential=lambda: lent, verify_tls=self.verify_tls
        )

    @property
    def path(self) -> ContainerPath:
        """The names, as our client takes them."""
        return ContainerPath(
            database=self.database, container=self.container, settings="the container's names"
        )

    def gateway(self) -> CosmosGateway:
        """A client of our own for the account."""
        return CosmosGateway(self.account)

    def same_account(self, other: CosmosContainer) -> bool:
        """Whether one client can serve both."""
        return (self.endpoint, self.key, self.credential, self.verify_tls) == (
            other.endpoint,
            other.key,
            other.credential,
            other.verify_tls,
        )


def container_of(given: Any) -> CosmosContainer:
    """The container that a user gave, in either form."""
    return given if isinstance(given, CosmosContainer) else CosmosContainer.of(given)


class _Lent:
    """A credential of the user's: used here, closed by its owner."""

    def __init__(self, credential: Any) -> None:
        self._credential = credential

    def __getattr__(self, name: str) -> Any:
        """Everything but closing is the credential's own."""
        return getattr(self._credential, name)

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        """A token of the credential."""
        return await self._credential.get_token(*scopes, **options)

    async def close(self) -> None:
        """Leave it open."""

    async def __aenter__(self) -> Self:
        """Nothing to open."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""
