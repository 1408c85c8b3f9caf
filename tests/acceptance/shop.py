"""A web shop with carts in Cosmos DB, written by the SDK, and the reports read from SQL."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from azure.cosmos import ContainerProxy, CosmosClient, DatabaseProxy, PartitionKey
from azure.cosmos.exceptions import CosmosResourceNotFoundError
from psycopg.rows import tuple_row

from tests.acceptance.support import EmulatorProcess
from tests.fixtures.blocking import blocking_client

DATABASE = "acme-webstore"
NO_EXPIRY_OF_ITS_OWN = -1
Row = tuple[Any, ...]


@dataclass(kw_only=True)
class Shop:
    """Both ends of the projection."""

    client: CosmosClient
    sql: psycopg.Connection[Row]
    emulator: EmulatorProcess

    @staticmethod
    @contextmanager
    def opened(emulator: EmulatorProcess, database_url: str) -> Iterator[Shop]:
        """Connects to both; closes both."""
        with (
            blocking_client(emulator.endpoint, emulator.key) as client,
            psycopg.connect(database_url, autocommit=True, row_factory=tuple_row) as sql,
        ):
            yield Shop(client=client, sql=sql, emulator=emulator)

    @property
    def database(self) -> DatabaseProxy:
        """The shop's Cosmos database."""
        return self.client.get_database_client(DATABASE)

    @property
    def carts(self) -> ContainerProxy:
        """The cart container."""
        return self.database.get_container_client("cart")

    @property
    def leases(self) -> ContainerProxy:
        """The lease container."""
        return self.database.get_container_client("lease")

    def create_database(self) -> None:
        """Database, cart container, lease container, as the README says."""
        self.client.create_database(DATABASE)
        self.create_carts()
        self.create_leases()

    def delete_database(self) -> None:
        """Everything goes, if there is anything."""
        with suppress(CosmosResourceNotFoundError):
            self.client.delete_database(DATABASE)

    def create_carts(self) -> None:
        """An empty cart container whose documents expire only when they say so."""
        self.database.create_container(
            "cart", PartitionKey("/cartId"), default_ttl=NO_EXPIRY_OF_ITS_OWN
        )

    def create_leases(self) -> None:
        """An empty lease container."""
        self.database.create_container("lease", PartitionKey("/id"))

    def recreate_leases(self) -> None:
        """Forgets every bookmark, the hard way."""
        with suppress(CosmosResourceNotFoundError):
            self.database.delete_container("lease")
        self.create_leases()

    def add(self, cart_id: str, item: str, quantity: object, **fields: object) -> dict[str, Any]:
        """Creates a cart document and returns it as it was sent."""
        document = {
            "id": str(uuid.uuid4()),
            "cartId": cart_id,
            "item": item,
            "quantity": quantity,
            **fields,
        }
        self.carts.create_item(document)
        return document

    def replace(self, document: dict[str, Any], **changes: object) -> dict[str, Any]:
        """Replaces a document with changed fields."""
        changed = {**document, **changes}
        self.carts.replace_item(changed["id"], changed)
        return changed

    def delete(self, document: dict[str, Any]) -> None:
        """Deletes a document outright."""
        self.carts.delete_item(document["id"], document["cartId"])

    def query(self, text: str) -> list[dict[str, Any]]:
        """The container's own answer."""
        return list(self.carts.query_items(text, enable_cross_partition_query=True))

    def lease_documents(self) -> list[dict[str, Any]]:
        """The leases as stored, without marker and lock."""
        return [item for item in self.leases.read_all_items() if "LeaseToken" in item]

    def bookmarked(self) -> bool:
        """Whether every range has a bookmark."""
        leases = self.lease_documents()
        return bool(leases) and all(lease["ContinuationToken"] for lease in leases)

    def rows(self, statement: str) -> list[Row]:
        """Answer of a SQL query."""
        return self.sql.execute(statement.encode()).fetchall()

    def totals(self, cart_id: str = "123") -> tuple[int, Decimal] | None:
        """Line count and total quantity of a cart; None when SQL has no such cart."""
        found = self.sql.execute(
            "SELECT line_count, total_quantity FROM carts.cart_totals WHERE cart_id = %s", [cart_id]
        ).fetchone()
        return None if found is None else (found[0], found[1])

    def lines(self) -> list[Row]:
        """All live lines: cart, id, item, quantity."""
        return self.rows(
            'SELECT cart_id, id, item, quantity FROM carts.cart_items ORDER BY cart_id COLLATE "C", id COLLATE "C"'
        )
