"""What doctor and a host's start ask of both neighbours: the questions, and the facts they answer.

The questions are functions that wiring binds to a connection or an account; what an answer means is
decided in `operations`. Each fails by itself, with the error that a host would meet in earnest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from projector.ports.copy import Blocker
from projector.ports.feed import ChangeSource
from projector.ports.points import DocumentScanner, PointReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts:
    """A container as its definition says.

    Attributes:
        partition_key_paths: one path for an ordinary container.
        default_ttl: None when documents never expire, whatever their own `ttl` says.
        service_time: the service's clock when it answered; None when it did not say.
    """

    rid: str
    partition_key_paths: tuple[str, ...]
    default_ttl: int | None
    service_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """A server as it says of itself, for the user who asks."""

    server_version: int
    version_text: str
    server_time: datetime
    user_name: str
    database_name: str
    encoding: str
    may_create_schemas: bool
    may_create_temporary_tables: bool
    may_create_roles: bool
    reader_exists: bool
    reader_may_read: bool | None
    reader_elsewhere: Sequence[str]
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Another processor that opened ranges of this target within the hour, the last one when."""

    name: str
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A schema that the first migration is to make and that is there; `relation` is one in it."""

    schema: str
    relation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingRight:
    """What the user may not do with a table; with `owner`, `needed` is the role that may migrate it."""

    needed: str
    name: str
    owner: bool


class Without(StrEnum):
    """What a host leaves undone where it lacks a role; it copies all the same."""

    MONTHS = "months"
    DAYS = "days"
    PROMOTIONS = "promotions"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleLacking:
    """The user does not act as a role, and one thing that would need it.

    Attributes:
        role: that owns it; "": whoever may read the views.
        member: the user belongs to that role, but does not act as it.
    """

    without: Without
    name: str
    role: str
    member: bool


class Encryption(StrEnum):
    """What protects a session."""

    LOCAL = "local"
    CHECKED = "checked"
    UNCHECKED = "unchecked"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaLook:
    """What one short look at a database tells.

    Attributes:
        revision: the schema's version; None when it was never migrated.
        encryption: what protects the way to the server.
        asleep: triggers of ours that somebody switched off, as schema.table.trigger.
        dead_end: why no step of this program leads on from the revision, and what to do; None when
            one does.
    """

    revision: str | None
    encryption: Encryption
    asleep: Sequence[str]
    dead_end: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceQuestions:
    """What can be asked of an account.

    Attributes:
        endpoint, container, lease_container, database: as the settings name them.
        has_key: a key is used, which may create containers.
        ask_database: raises where it may not be read, or is not there.
        write_scratch: create, replace and delete a document of the lease container.
    """

    endpoint: str
    database: str
    container: str
    lease_container: str
    has_key: bool
    source: ChangeSource
    reader: PointReader
    scanner: DocumentScanner
    ask_database: Callable[[], Awaitable[None]]
    ask_container: Callable[[], Awaitable[ContainerFacts]]
    ask_lease_container: Callable[[], Awaitable[ContainerFacts]]
    write_scratch: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetQuestions:
    """What can be asked of a database; those about tables need a schema.

    Attributes:
        embedded: the server is ours.
        views_schema: where the views are.
        look: what one look tells, and the newest version of the schema.
        sessions: the server's process behind each of two connections, asked in turn, twice.
        missing_rights: on what is there; with True those of a migration, too.
        roles_lacking: what a host would leave undone for want of a role.
        strangers: processors beside this one.
        blockers: who keeps sessions of ours waiting this moment.
    """

    embedded: bool
    views_schema: str
    server: Callable[[], Awaitable[ServerFacts]]
    look: Callable[[], Awaitable[tuple[SchemaLook, str]]]
    sessions: Callable[[], Awaitable[Sequence[int]]]
    taken_schemas: Callable[[], Awaitable[Sequence[Taken]]]
    missing_rights: Callable[[bool], Awaitable[Sequence[MissingRight]]]
    roles_lacking: Callable[[], Awaitable[Sequence[RoleLacking]]]
    missing_views: Callable[[], Awaitable[Sequence[str]]]
    strangers: Callable[[], Awaitable[Sequence[Stranger]]]
    blockers: Callable[[], Awaitable[Sequence[Blocker]]]
