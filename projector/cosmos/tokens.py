"""Tokens of Entra for the target: Azure Database for PostgreSQL takes one as a password."""

from __future__ import annotations

from datetime import UTC, datetime

from azure.core.exceptions import AzureError

from projector.core.errors import SinkUnavailable
from projector.cosmos.client import CredentialFactory, default_credential
from projector.cosmos.faults import one_line

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
