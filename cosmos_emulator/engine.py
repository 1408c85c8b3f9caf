"""The whole emulated account, without any transport: databases and their containers.

Synchronous and pure apart from what it is given: the time comes from `now`, chance from `rng`. A simulation
can drive it directly; the server puts HTTP in front of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cosmos_emulator.container import Body, Container
from cosmos_emulator.definitions import checked_definition, checked_replacement
from cosmos_emulator.documents import checked_id
from cosmos_emulator.errors import OWNER_NOT_FOUND, EmulatorError, conflict, not_found
from cosmos_emulator.rids import random_bytes, rid_text

DEFAULT_PARTITIONS = 4
DEFAULT_THROUGHPUT = 400


class Database:
    """A named set of containers."""

    def __init__(self, *, name: str, rid: bytes, written_at: int) -> None:
        self.name = name
        self.rid_bytes = rid
        self.rid = rid_text(rid)
        self.written_at = written_at
        self.containers: dict[str, Container] = {}


class Engine:
    """An account in memory."""

    def __init__(
        self,
        *,
        now: Callable[[], float],
        rng: random.Random | None = None,
        partitions: int = DEFAULT_PARTITIONS,
    ) -> None:
        if partitions < 1:
            raise ValueError("a container needs at least one physical partition")
        self.offset_seconds = 0.0
        self._base_now = now
        self._rng = rng or random.Random()
        self._partitions = partitions
        self._databases: dict[str, Database] = {}

    def now(self) -> float:
        """The service's clock: the given one, shifted by `offset_seconds`."""
        return self._base_now() + self.offset_seconds

    def is_rid(self, database: str) -> bool:
        """Whether this stands for a database by its resource id, and not by its name."""
        return database not in self._databases and any(
            each.rid == database for each in self._databases.values()
        )

    def databases(self) -> list[Database]:
        """All databases, in order of creation."""
        return list(self._databases.values())

    def containers(self) -> list[tuple[Database, Container]]:
        """All containers with their databases."""
        return [(d, c) for d in self._databases.values() for c in d.containers.values()]

    def create_database(self, name: str) -> Database:
        """Creates an empty database; 409 when the name is taken."""
        checked_id({"id": name})
        if name in self._databases:
            raise conflict()
        rid = random_bytes(self._rng)
        database = Database(name=name, rid=rid, written_at=int(self.now()))
        self._databases[name] = database
        return database

    def database(self, name: str) -> Database:
        """Returns a database by its name or resource id."""
        found = self._databases.get(name)
        if found is None:
            found = next((d for d in self._databases.values() if d.rid == name), None)
        if found is None:
            raise not_found()
        return found

    def delete_database(self, name: str) -> None:
        """Removes a database with everything in it."""
        del self._databases[self.database(name).name]

    def create_container(
        self, database: str, definition: Mapping[str, Any], *, partitions: int | None = None
    ) -> Container:
        """Creates a container of that definition, with a resource id never used before."""
        owner = self._owner(database)
        checked = checked_definition(definition)
        if checked["id"] in owner.containers:
            raise conflict()
        container = Container(
            rid=owner.rid_bytes + random_bytes(self._rng),
            database_rid=owner.rid_bytes,
            database_name=owner.name,
            definition=checked,
            partitions=partitions or self._partitions,
            now=self.now,
        )
        owner.containers[container.name] = container
        return container

    def container(self, database: str, name: str) -> Container:
        """Returns a container by its name or resource id; 404/1003 without its database."""
        owner = self._owner(database)
        found = owner.containers.get(name)
        if found is None:
            found = next((c for c in owner.containers.values() if c.rid == name), None)
        if found is None:
            raise not_found()
        return found

    def owner_container(self, database: str, name: str) -> Container:
        """Returns a container as the owner of items; 404/1003 when there is none."""
        try:
            return self.container(database, name)
        except EmulatorError as error:
            raise not_found(OWNER_NOT_FOUND) from error

    def replace_container(
        self, database: str, name: str, definition: Mapping[str, Any]
    ) -> Container:
        """Changes a container's definition."""
        container = self.container(database, name)
        container.redefine(checked_replacement(container.definition, definition))
        return container

    def delete_container(self, database: str, name: str) -> None:
        """Removes a container with its items."""
        container = self.container(database, name)
        del self._owner(database).containers[container.name]

    def load(self, container: Container, bodies: Iterable[Body]) -> int:
        """Upserts many documents at once; returns how many."""
        return container.load(bodies)

    def purge(self) -> int:
        """Removes all expired items; returns how many there were."""
        return sum(container.purge() for _, container in self.containers())

    def _owner(self, database: str) -> Database:
        try:
            return self.database(database)
        except EmulatorError as error:
            raise not_found(OWNER_NOT_FOUND) from error
