"""A dummy of Entra: tokens signed by a key of the account's own, and what their bearers may do.

Any other token is refused, as are those that have expired or were made for somebody else. A token manages
nothing: databases, containers and throughput are made with the key alone, as on the service.
Source: Cosmos DB documentation, data plane role-based access control; refusals that users report. How the
service words a signature that is not Entra's is not known; the words for it are ours.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.types import Options

from cosmos_emulator.errors import (
    NOT_BY_TOKEN,
    NOT_PERMITTED,
    TOKEN_FOR_SOMEBODY_ELSE,
    EmulatorError,
)
from cosmos_emulator.wire import Call

ANY_ACCOUNT = "https://cosmos.azure.com"
"""The audience that every account accepts; beside it, each its own address."""

LIFETIME_SECONDS = 3600
_PRINCIPAL = "00000000-0000-0000-0000-000000000001"
_TENANT = "00000000-0000-0000-0000-000000000002"
_ALGORITHM = "RS256"
_SIGNATURE_ALONE: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
}
_LEARN_MORE = "Learn more: https://aka.ms/cosmos-native-rbac."
_MANAGEMENT = frozenset(
    {
        "create_database",
        "delete_database",
        "create_container",
        "replace_container",
        "delete_container",
        "query_offers",
        "read_offer",
        "replace_offer",
    }
)
_ITEMS = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items"
_WRITES: Mapping[str, str] = {
    "create_item": f"{_ITEMS}/create",
    "upsert_item": f"{_ITEMS}/upsert",
    "replace_item": f"{_ITEMS}/replace",
    "patch_item": f"{_ITEMS}/replace",
    "delete_item": f"{_ITEMS}/delete",
    "delete_partition_key": f"{_ITEMS}/delete",
    "batch": f"{_ITEMS}/create",
    "bulk": f"{_ITEMS}/create",
}
_READS = "Microsoft.DocumentDB/databaseAccounts/readMetadata"


class Role(StrEnum):
    """What the bearer of a token may do with data: the two built-in roles, or nothing."""

    CONTRIBUTOR = "contributor"
    READER = "reader"
    NONE = "none"


class Token(NamedTuple):
    """A token as the credentials of the SDKs hand it out; `expires_on` in Unix seconds."""

    token: str
    expires_on: int


class Entra:
    """Makes and checks the tokens of one account, by the service's clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def token(
        self,
        audience: str = ANY_ACCOUNT,
        *,
        role: Role | str = Role.CONTRIBUTOR,
        lifetime_seconds: float = LIFETIME_SECONDS,
        principal: str = _PRINCIPAL,
    ) -> Token:
        """Signs a token; one that has expired already has a lifetime of less than 0.

        Raises:
            ValueError: there is no such role.
        """
        now = int(self._now())
        expires_on = int(now + lifetime_seconds)
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{_TENANT}/",
            "iat": now,
            "nbf": now,
            "exp": expires_on,
            "oid": principal,
            "roles": [Role(role).value],
            "tid": _TENANT,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        return Token(jwt.encode(claims, self._key, algorithm=_ALGORITHM), expires_on)

    def admit(self, token: str, operation: str | None, call: Call) -> None:
        """Refuses with 401 who is not known, and with 403 what the bearer may not do."""
        claims = self._claims(token)
        _check_audience(claims, call)
        self._check_lifetime(claims)
        _check_permission(claims, operation, call)

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            if not token.isascii():
                raise jwt.DecodeError
            claims: dict[str, Any] = jwt.decode(
                token, self._key.public_key(), algorithms=[_ALGORITHM], options=_SIGNATURE_ALONE
            )
        except jwt.InvalidTokenError as error:
            raise _blocked(401, 0, "Provided AAD token is not valid.") from error
        return claims

    def _check_lifetime(self, claims: Mapping[str, Any]) -> None:
        now = self._now()
        if claims["exp"] <= now:
            raise _blocked(
                401,
                0,
                f"Provided AAD token has been expired since [{_moment(claims['exp'])}]. "
                f"Current server time is [{_moment(now)}]. Please refresh the AAD token.",
            )


def _check_audience(claims: Mapping[str, Any], call: Call) -> None:
    accepted = [*_own_addresses(call.base_url), ANY_ACCOUNT]
    if claims["aud"] not in accepted:
        raise _blocked(
            401,
            TOKEN_FOR_SOMEBODY_ELSE,
            f"Provided AAD token is intended for [{claims['aud']}]. This database account accepts "
            f"tokens intended for [{', '.join(dict.fromkeys(accepted))}].",
        )


def _own_addresses(base_url: str) -> list[str]:
    try:
        own = urlsplit(base_url)
    except ValueError:  # the request named no host that could be one
        return []
    return [f"{own.scheme}://{own.hostname}", f"{own.scheme}://{own.netloc}"]


def _check_permission(claims: Mapping[str, Any], operation: str | None, call: Call) -> None:
    place = "/".join(call.segments)
    if operation in _MANAGEMENT:
        raise _blocked(
            403,
            NOT_BY_TOKEN,
            f"The given request [{call.method} /{place}] cannot be authorized by AAD token in data "
            f"plane. {_LEARN_MORE}",
        )
    roles, action = claims["roles"], _WRITES.get(operation or "")
    if Role.CONTRIBUTOR in roles or (action is None and Role.READER in roles):
        return
    raise _blocked(
        403,
        NOT_PERMITTED,
        f"Request is blocked because principal [{claims['oid']}] does not have required RBAC "
        f"permissions to perform action [{action or _READS}] on resource [{place or '/'}]. "
        f"{_LEARN_MORE}",
    )


def _blocked(status: int, substatus: int, reason: str) -> EmulatorError:
    return EmulatorError(status, substatus, f"Request blocked by Auth localhost : {reason}")


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%m/%d/%Y %I:%M:%S %p} (UTC)"
