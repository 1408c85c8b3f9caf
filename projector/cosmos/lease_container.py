"""The lease container: documents by id, whatever it is partitioned on.

Knows documents, not leases. Created by the first write when it is missing, never by a read.
Accepts the partition keys that .NET accepts for new containers, `/id` and `/partitionKey`; in
the latter older writers put other values than the id, so the stored value is remembered: for as
long as requests are meant for the container of that `_rid`, and no longer. Absence and conflict are
answers, all else that passes is an outage of the lease store. A refused Entra
token is cured here by a new client, because a host without ranges has nobody else to notice it.
Source: docs/reference/lease-document.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.cosmos import CosmosDict, PartitionKey
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)
from azure.cosmos.partition_key import NonePartitionKeyValue

from projector.core.errors import (
    ConfigurationError,
    CredentialExpired,
    FeedError,
    LeaseConflict,
    LeaseMissing,
    LeaseStoreUnavailable,
    SourceMissing,
    Throttled,
)
from projector.cosmos.client import ContainerPath, CosmosGateway
from projector.cosmos.faults import SESSION_NOT_AVAILABLE, SessionAhead, without_role
from projector.cosmos.lease_documents import PARTITION_KEY
from projector.cosmos.monitored import OtherContainer, check_container
from projector.cosmos.wire import answered_at

T = TypeVar("T")

ON_ID = "/id"
ON_FIELD = f"/{PARTITION_KEY}"
NO_DEFAULT_EXPIRY = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What was learnt of one container; another one of its name is another matter.

    `keys` are the partition keys of documents, by id, where they may differ from it.
    """

    rid: str
    partitioned_on: str
    keys: dict[str, Any] = field(default_factory=dict)

    def key(self, document_id: str) -> Any:
        return self.keys.get(document_id, document_id)

    def keyed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The document with the partition key field exactly where the container needs it."""
        rest = {key: value for key, value in document.items() if key != PARTITION_KEY}
        if self.partitioned_on == ON_ID:
            return rest
        name = rest.pop("id")
        return {"id": name, PARTITION_KEY: document.get(PARTITION_KEY, name)} | rest

    def remembered(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.partitioned_on == ON_FIELD:
            self.keys[document["id"]] = document.get(PARTITION_KEY, NonePartitionKeyValue)
        return document

    @property
    def hooks(self) -> dict[str, Any]:
        """Keyword arguments for the SDK's methods: no request leaves for another container."""

        def check(request: Any) -> None:
            check_container(request.http_request.headers, self.rid)

        return {"raw_request_hook": check}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Documents, and the service's clock when it told of them; None when it did not say."""

    documents: Sequence[Mapping[str, Any]] = ()
    service_time: datetime | None = None


Call = Callable[[ContainerProxy, _Known], Awaitable[T]]


class LeaseContainer:
    """Documents of the lease container, for any number of stores and markers."""

    def __init__(self, gateway: CosmosGateway, path: ContainerPath) -> None:
        """Take the names; the container is looked up, and created, with the first use."""
        self._gateway = gateway
        self._path = path
        self._known: _Known | None = None

    async def list(self, id_prefix: str) -> Listing:
        """All documents whose id begins so; none in an absent container, which stays absent."""

        async def call(container: ContainerProxy, known: _Known) -> Listing:
            answers: list[datetime | None] = []
            found = container.query_items(
                query="SELECT * FROM c WHERE STARTSWITH(c.id, @prefix)",
                parameters=[{"name": "@prefix", "value": id_prefix}],
                raw_response_hook=lambda response: answers.append(
                    answered_at(response.http_response)
                ),
                **known.hooks,
            )
            documents = [known.remembered(document) async for document in found]
            # The oldest answer: a lease on a later page was not silent for less.
            told = [answer for answer in answers if answer is not None]
            return Listing(documents=documents, service_time=min(told, default=None))

        try:
            return await self._ask(call)
        except SourceMissing:  # looking creates nothing: commands that only look come by here
            return Listing()

    async def read(self, document_id: str) -> Mapping[str, Any]:
        """One document. Raises LeaseMissing."""
        return await self._ask(partial(_read, document_id=document_id), document_id)

    async def create(self, document: Mapping[str, Any]) -> str | None:
        """Write a new document and return its etag; None when the id exists."""

        def call(container: ContainerProxy, known: _Known) -> Awaitable[CosmosDict]:
            return container.create_item(known.keyed(document), no_response=True, **known.hooks)

        try:
            return _etag(await self._ensured(call))
        except LeaseConflict:
            return None

    async def replace(self, document: Mapping[str, Any], etag: str | None) -> str:
        """Write under an etag and return the new one. Raises LeaseConflict, LeaseMissing."""
        name = document["id"]

        def call(container: ContainerProxy, known: _Known) -> Awaitable[CosmosDict]:
            return container.replace_item(
                name, dict(document), no_response=True, **_only(etag), **known.hooks
            )

        return _etag(await self._ask(call, name))

    async def delete(
        self, document_id: str, *, partition_key: str | None = None, etag: str | None = None
    ) -> bool:
        """Remove a document, with an etag only that version; False when it is not there."""

        def call(container: ContainerProxy, known: _Known) -> Awaitable[None]:
            key = known.key(document_id) if partition_key is None else partition_key
            return container.delete_item(document_id, key, **_only(etag), **known.hooks)

        try:
            await self._ask(call, document_id)
        except (LeaseConflict, LeaseMissing):
            return False
        return True

    async def _ensured(self, call: Call[T]) -> T:
        """Ask; an absent container is created first."""
        try:
            return await self._ask(call)
        except SourceMissing:
            await self._create_container()
        try:
            return await self._ask(call)
        except SourceMissing as missing:
            raise LeaseStoreUnavailable(f"just created, not visible yet: {missing}") from missing

    async def _ask(self, call: Call[T], document_id: str | None = None) -> T:
        """One call of the SDK, again where what was believed of client or container is outdated.

        Args:
            call: the SDK's method, with the container's `hooks`.
            document_id: the document that has to be there for it; None: any may be missing.

        Raises:
            LeaseConflict: A document is not as the call says.
            LeaseMissing: It is not there; without a container none is.
            SourceMissing: There is no container, and no document was asked for.
        """
        tried = False
        while True:
            try:
                async with self._gateway.container(self._path) as container:
                    if self._known is None:
                        self._known = _known(await container.read(), self._path)
                    with _about(document_id):
                        return await call(container, self._known)
            except SourceMissing as missing:
                self._known = None
                if document_id is not None:
                    raise LeaseMissing(f"the lease container is gone: {missing}") from missing
                raise
            except OtherContainer:
                self._known = None
                if tried:
                    raise LeaseStoreUnavailable("lease container: it is being made anew") from None
            except FeedError as error:
                await self._renewed(error, tried=tried)
            tried = True

    async def _renewed(self, error: FeedError, *, tried: bool) -> None:
        """Take a new client where an aged one may be the cause; else raise what the error means."""
        if not isinstance(error, CredentialExpired | SessionAhead):
            raise _unavailable(error) from error
        if not tried:
            await self._gateway.rebuild()
        elif isinstance(error, CredentialExpired):  # with a new token, too: not its age, then
            raise without_role(self._gateway.label(self._path)) from error
        else:
            raise _unavailable(error) from error

    async def _create_container(self) -> None:
        try:
            async with self._gateway.database(self._path) as database:
                try:
                    await database.create_container(
                        self._path.container,
                        PartitionKey(ON_ID),
                        default_ttl=NO_DEFAULT_EXPIRY,
                    )
                except CosmosResourceExistsError:
                    return
        except (SourceMissing, ConfigurationError) as error:
            raise ConfigurationError(
                f"lease container {self._path.container!r} is missing from database"
                f" {self._path.database!r} and cannot be created there ({error}):"
                f" create it, partitioned on {ON_ID}"
            ) from error
        except FeedError as error:
            raise _unavailable(error) from error


def _known(properties: Mapping[str, Any], path: ContainerPath) -> _Known:
    paths = properties.get("partitionKey", {}).get("paths", [])
    if paths not in ([ON_ID], [ON_FIELD]):
        raise ConfigurationError(
            f"lease container {path.container!r} of database {path.database!r} is partitioned on"
            f" {', '.join(paths) or 'nothing'}: it must be {ON_ID} or {ON_FIELD};"
            f" correct {path.settings} or create another one"
        )
    return _Known(rid=str(properties["_rid"]), partitioned_on=str(paths[0]))


@contextmanager
def _about(document_id: str | None) -> Iterator[None]:
    """The SDK's errors as answers about that document."""
    try:
        yield
    except (CosmosAccessConditionFailedError, CosmosResourceExistsError):
        raise LeaseConflict(f"lease document {document_id} was changed meanwhile") from None
    except CosmosResourceNotFoundError as missing:
        # A replica that lags behind knows nothing of absence.
        if document_id is None or missing.sub_status == SESSION_NOT_AVAILABLE:
            raise
        raise LeaseMissing(f"lease document {document_id} is gone") from None


async def _read(container: ContainerProxy, known: _Known, document_id: str) -> Mapping[str, Any]:
    try:
        return known.remembered(
            await container.read_item(document_id, known.key(document_id), **known.hooks)
        )
    except CosmosResourceNotFoundError as missing:
        if missing.sub_status == SESSION_NOT_AVAILABLE or known.partitioned_on == ON_ID:
            raise
    found = container.query_items(
        query="SELECT * FROM c WHERE c.id = @id",
        parameters=[{"name": "@id", "value": document_id}],
        **known.hooks,
    )
    async for document in found:
        return known.remembered(document)
    raise LeaseMissing(f"lease document {document_id} is gone")


def _unavailable(error: FeedError) -> LeaseStoreUnavailable:
    return LeaseStoreUnavailable(
        f"lease container: {error}",
        retry_after_seconds=error.retry_after_seconds if isinstance(error, Throttled) else None,
    )


def _only(etag: str | None) -> dict[str, Any]:
    if etag is None:
        return {}
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def _etag(written: CosmosDict) -> str:
    return str(written.get_response_headers()["etag"])
