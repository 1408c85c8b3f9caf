"""What single values may be: start positions, names of resources and roles."""

from __future__ import annotations

import os
import re
import secrets
import socket
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, SecretStr, StringConstraints

from projector.core.start import BEGINNING, NOW, StartFrom, StartKind

SHORTEST_TOKEN = 16


def parse_start_from(value: object) -> StartFrom:
    """Reads `beginning`, `now` or an ISO 8601 time with its zone.

    Raises:
        ValueError: Anything else, above all a time without a zone.
    """
    if isinstance(value, StartFrom):
        return value
    if isinstance(value, datetime):  # TOML has times of its own
        return _start_at(value)
    text = str(value).strip()
    if text.lower() == StartKind.BEGINNING:
        return BEGINNING
    if text.lower() == StartKind.NOW:
        return NOW
    try:
        return _start_at(datetime.fromisoformat(text))
    except ValueError as error:
        if "time zone" in str(error):
            raise
        raise ValueError("give beginning, now or a time such as 2026-01-31T00:00:00Z") from None


def _start_at(time: datetime) -> StartFrom:
    if time.utcoffset() is None:
        raise ValueError(
            "a time needs its zone, for example 2026-01-31T00:00:00Z: no time zone given"
        )
    return StartFrom(kind=StartKind.TIME, time=time.astimezone(UTC))


def new_instance_name() -> str:
    """One that no other host has."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def _check_id(name: str) -> str:
    """Refuse what no resource of the service is called, so that no id is made of it either."""
    if any(character in name for character in "/\\?#"):
        raise ValueError("the service takes no /, \\, ? or # in names")
    return name


def _check_role(name: str) -> str:
    """Only what needs no quotes, so that GRANT can be typed as it is shown."""
    if name.startswith("pg_") or not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
        raise ValueError("give a role in small letters, digits and _, not one that starts with pg_")
    return name


def _check_token(token: SecretStr) -> SecretStr:
    """One that can be guessed is none."""
    if len(token) < SHORTEST_TOKEN:
        raise ValueError(
            f"it has {len(token)} characters, and {SHORTEST_TOKEN} are the least;"
            " make one with: openssl rand -hex 24"
        )
    return token


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
RoleName = Annotated[Name, AfterValidator(_check_role)]
ResourceName = Annotated[Name, AfterValidator(_check_id)]
Token = Annotated[SecretStr, AfterValidator(_check_token)]
