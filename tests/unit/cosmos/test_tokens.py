from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from projector.core.errors import SinkUnavailable
from projector.cosmos.client import POSTGRESQL, postgresql_token


class Credential:
    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.closed = error, False
        self.asked: list[str] = []

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.asked += scopes
        if self.error is not None:
            raise self.error
        return AccessToken("token", 1_790_000_000)

    async def close(self) -> None:
        self.closed = True


async def test_a_token_is_asked_for_postgresql_and_says_when_it_ends() -> None:
    credential = Credential()
    found = await postgresql_token(lambda: credential)  # type: ignore[arg-type,return-value]  # as far as it is used
    assert found == ("token", datetime.fromtimestamp(1_790_000_000, UTC))
    assert (credential.asked, credential.closed) == ([POSTGRESQL], True)


async def test_without_an_identity_one_line_says_so() -> None:
    credential = Credential(ClientAuthenticationError("no identity\nhere"))
    with pytest.raises(SinkUnavailable, match="Entra gave no token for PostgreSQL: no identity"):
        await postgresql_token(lambda: credential)  # type: ignore[arg-type,return-value]  # as above
    assert credential.closed
