"""Credentials of the dummy Entra in the shape that the SDK asks for, without importing it.

Source: the protocols TokenCredential and AsyncTokenCredential of azure-core.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from cosmos_emulator.entra import Token

Mint = Callable[[str], Token]
_DEFAULT = "/.default"


class Credential:
    """For `azure.cosmos.CosmosClient`."""

    def __init__(self, mint: Mint) -> None:
        self._mint = mint

    def get_token(self, *scopes: str, **_: object) -> Token:
        """Signs a token for the scope's audience."""
        return self._mint(scopes[0].removesuffix(_DEFAULT))


class AsyncCredential:
    """For `azure.cosmos.aio.CosmosClient`."""

    def __init__(self, mint: Mint) -> None:
        self._mint = mint

    async def get_token(self, *scopes: str, **_: object) -> Token:
        """Signs a token for the scope's audience."""
        return self._mint(scopes[0].removesuffix(_DEFAULT))

    async def close(self) -> None:
        """Nothing is held open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
