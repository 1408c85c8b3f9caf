from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from projector.changefeed import ConfigurationError, CosmosContainer
from projector.changefeed.containers import container_of

WHERE: dict[str, Any] = {
    "endpoint": "https://acme.documents.azure.com",
    "database": "d",
    "container": "c",
}


class Credential:
    """An `azure.identity.aio` credential as far as the library uses it."""

    scopes = ("x",)

    def __init__(self) -> None:
        self.closed = False

    async def get_token(self, *scopes: str, **_options: Any) -> str:
        return f"token for {scopes}"

    async def close(self) -> None:
        self.closed = True


async def test_credential_is_lent_and_stays_open() -> None:
    credential = Credential()
    container = CosmosContainer(**WHERE, credential=credential)
    lent: Any = container.account.credential()
    async with lent as same:
        assert await same.get_token("scope") == "token for ('scope',)"
        assert same.scopes == ("x",)
    await lent.close()
    assert not credential.closed


def test_secrets_are_in_no_text() -> None:
    assert "s3cret" not in repr(CosmosContainer(**WHERE, key="s3cret", credential="s3cret"))


def test_container_of_the_sdk_gives_address_and_credential() -> None:
    credential = Credential()
    connection = SimpleNamespace(
        url_connection=WHERE["endpoint"], master_key=None, aad_credentials=credential
    )
    proxy = SimpleNamespace(client_connection=connection, database_link="dbs/d", id="c")
    assert container_of(proxy) == CosmosContainer(**WHERE, credential=credential)


def test_one_client_serves_containers_of_one_account() -> None:
    first = CosmosContainer(**WHERE, key="a2V5")
    assert first.same_account(CosmosContainer(**WHERE | {"container": "other"}, key="a2V5"))
    assert not first.same_account(CosmosContainer(**WHERE, key="b3RoZXI="))


def test_anything_else_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ContainerProxy"):
        container_of("cart")
