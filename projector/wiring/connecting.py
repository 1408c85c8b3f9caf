"""How the settings say that PostgreSQL is to be reached."""

from __future__ import annotations

from projector.postgres.connections import ConnectionOptions
from projector.settings import Settings


def connection_options(settings: Settings, url: str) -> ConnectionOptions:
    """The target's part of the settings."""
    return ConnectionOptions(
        url=url,
        application_name=f"projector {settings.instance_name}"[:63],
        lease_expiration_seconds=settings.lease_expiration_seconds,
    )
