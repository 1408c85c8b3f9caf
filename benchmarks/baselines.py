"""What people write instead: COPY, SQLAlchemy's list upsert, upserts by hand with totals.

Each does as much of our work as its kind does, and no more: COPY into heap and primary key is the
limit that no upsert reaches; the list upsert keeps the version guard but no totals; the one by hand
keeps exact totals by reading and locking each row before it writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import msgspec
import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    create_engine,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from benchmarks.documents import Document
from benchmarks.target import WrongResult
from projector.core.epk import routing_key_of_text
from projector.projection.writes import RowWrite, Value

COLUMNS = (
    "epk, lsn, ts, lineage, deleted, rejected, cart_id, id, item, quantity, unit_price,"
    " currency, etag, extra, tombstone_tick"
)
CREATE_COPIED = """
CREATE TABLE copied (epk bigint NOT NULL, lsn bigint NOT NULL, ts bigint NOT NULL,
  lineage integer NOT NULL, deleted boolean NOT NULL, rejected boolean NOT NULL,
  cart_id text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, item text COLLATE "C",
  quantity numeric, unit_price numeric, currency text COLLATE "C", etag text NOT NULL,
  extra jsonb, tombstone_tick bigint, PRIMARY KEY (cart_id, id))"""
TABS_PER_LINE = 14

CREATE_BY_HAND = """
CREATE TABLE hand_items (cart_id text, id text, item text NOT NULL, quantity numeric NOT NULL,
  unit_price numeric, currency text, lsn bigint NOT NULL, ts bigint NOT NULL, etag text NOT NULL,
  extra jsonb, PRIMARY KEY (cart_id, id));
CREATE TABLE hand_carts (cart_id text, currency text, line_count bigint NOT NULL,
  total_quantity numeric NOT NULL, total_amount numeric NOT NULL, PRIMARY KEY (cart_id, currency));
CREATE TABLE hand_items_total (item text PRIMARY KEY, line_count bigint NOT NULL,
  total_quantity numeric NOT NULL)"""
LOCK_ROW = """
SELECT lsn, item, quantity, unit_price, currency FROM hand_items
WHERE cart_id = %s AND id = %s FOR UPDATE"""
UPSERT_ROW = """
INSERT INTO hand_items AS t (cart_id, id, item, quantity, unit_price, currency, lsn, ts, etag, extra)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (cart_id, id) DO UPDATE SET item = excluded.item, quantity = excluded.quantity,
  unit_price = excluded.unit_price, currency = excluded.currency, lsn = excluded.lsn,
  ts = excluded.ts, etag = excluded.etag, extra = excluded.extra
WHERE excluded.lsn > t.lsn"""
UPSERT_CART = """
INSERT INTO hand_carts AS c (cart_id, currency, line_count, total_quantity, total_amount)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (cart_id, currency) DO UPDATE SET line_count = c.line_count + excluded.line_count,
  total_quantity = c.total_quantity + excluded.total_quantity,
  total_amount = c.total_amount + excluded.total_amount"""
UPSERT_ITEM = """
INSERT INTO hand_items_total AS i (item, line_count, total_quantity) VALUES (%s, %s, %s)
ON CONFLICT (item) DO UPDATE SET line_count = i.line_count + excluded.line_count,
  total_quantity = i.total_quantity + excluded.total_quantity"""
HAND_DRIFT = """
SELECT count(*) FROM (
  SELECT cart_id, currency, count(*) AS n, sum(quantity) AS q, sum(quantity * unit_price) AS a
  FROM hand_items GROUP BY 1, 2) r
FULL JOIN (SELECT * FROM hand_carts WHERE line_count <> 0) t USING (cart_id, currency)
WHERE (r.n, r.q, r.a) IS DISTINCT FROM (t.line_count, t.total_quantity, t.total_amount)"""


class Session:
    """A connection for one baseline, and the backend that serves it."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)
        self.backend_pid = self.connection.info.backend_pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()


class PlainCopy(Session):
    """COPY FROM STDIN of the same columns into a heap with its primary key, a commit per batch."""

    def create(self) -> None:
        """Make the table."""
        self.connection.execute(CREATE_COPIED)
        self.connection.commit()

    def apply(self, writes: Sequence[RowWrite]) -> None:
        """Format, copy, commit."""
        text = f"COPY copied ({COLUMNS}) FROM STDIN"
        with self.connection.cursor() as cursor, cursor.copy(text) as copy:
            copy.write(_lines(writes))
        self.connection.commit()


def _text(value: Value) -> str:
    return bytes(value).decode() if isinstance(value, msgspec.Raw) else str(value or "")


def _lines(writes: Sequence[RowWrite]) -> str:
    """The rows in COPY's text format, which needs no escapes for the documents of the benchmark."""
    text = "".join(
        [
            f"{w.epk}\t{w.lsn}\t{w.ts}\t0\tf\tf\t{w.key}\t{w.id}\t{_text(w.values[0])}\t"
            f"{_text(w.values[1])}\t{_text(w.values[2])}\t"
            f"{_text(w.values[3])}\t{w.etag}\t{bytes(w.extra or b'').decode()}\t\\N\n"
            for w in writes
        ]
    )
    if text.count("\t") != TABS_PER_LINE * len(writes) or text.count("\\") != len(writes):
        raise WrongResult("a document of the benchmark needs escapes in COPY's text format")
    return text


def _list_table(metadata: MetaData) -> Table:
    return Table(
        "listed",
        metadata,
        Column("cart_id", Text(collation="C"), primary_key=True),
        Column("id", Text(collation="C"), primary_key=True),
        Column("epk", BigInteger, nullable=False),
        Column("lsn", BigInteger, nullable=False),
        Column("ts", BigInteger, nullable=False),
        Column("lineage", Integer, nullable=False),
        Column("deleted", Boolean, nullable=False),
        Column("item", Text),
        Column("quantity", Numeric),
        Column("unit_price", Numeric),
        Column("currency", Text),
        Column("etag", Text, nullable=False),
        Column("extra", JSONB),
    )


class ListUpsert:
    """SQLAlchemy Core: `insert().on_conflict_do_update()` with a list of rows, a commit per batch."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
        self._metadata = MetaData()
        self._table = _list_table(self._metadata)
        new = insert(self._table)
        self._statement = new.on_conflict_do_update(
            index_elements=["cart_id", "id"],
            set_={c.name: new.excluded[c.name] for c in self._table.c if not c.primary_key},
            where=tuple_(new.excluded.lineage, new.excluded.lsn)
            > tuple_(self._table.c.lineage, self._table.c.lsn),
        )
        self._connection = self._engine.connect()
        self.backend_pid = int(
            self._connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        )
        self._connection.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
        self._engine.dispose()

    def create(self) -> None:
        """Make the table."""
        self._metadata.create_all(self._engine)

    def apply(self, documents: Sequence[Document]) -> None:
        """Turn documents into rows, upsert them, commit."""
        self._connection.execute(self._statement, [_listed(document) for document in documents])
        self._connection.commit()


def _listed(document: Document) -> dict[str, Any]:
    return {
        "cart_id": document["cartId"],
        "id": document["id"],
        "epk": routing_key_of_text(document["cartId"].encode()),
        "lsn": document["_lsn"],
        "ts": document["_ts"],
        "lineage": 0,
        "deleted": False,
        "item": document["item"],
        "quantity": document["quantity"],
        "unit_price": _money(document),
        "currency": document["currency"],
        "etag": document["_etag"],
        "extra": {"channel": document["channel"]},
    }


class ByHand(Session):
    """One row at a time: lock and read the old row, upsert the new one, move both totals."""

    def create(self) -> None:
        """Make the tables."""
        self.connection.execute(CREATE_BY_HAND)
        self.connection.commit()

    def apply(self, documents: Sequence[Document], *, commit_every: int) -> None:
        """Write the documents with totals, committing after that many."""
        for number, document in enumerate(documents, 1):
            self.write(document)
            if number % commit_every == 0:
                self.connection.commit()
        self.connection.commit()

    def write(self, document: Document, *, totals: bool = True) -> None:
        """Write one document."""
        key, new = (document["cartId"], document["id"]), _line(document)
        old = None
        if totals:
            old = self.connection.execute(LOCK_ROW, key).fetchone()
            if old is not None and old[0] >= document["_lsn"]:
                return
        extra = Jsonb({"channel": document["channel"]})
        stamp = (document["_lsn"], document["_ts"], document["_etag"], extra)
        self.connection.execute(UPSERT_ROW, (*key, *new.values(), *stamp))
        if totals:
            if old is not None:
                names = ("item", "quantity", "unit_price", "currency")
                self._move(key[0], dict(zip(names, old[1:], strict=True)), -1)
            self._move(key[0], new, 1)

    def check(self) -> None:
        """Raise WrongResult unless the totals equal a recount."""
        row = self.connection.execute(HAND_DRIFT).fetchone()
        if row is None or row[0]:
            raise WrongResult("the totals by hand differ from a recount")

    def _move(self, cart_id: str, line: Mapping[str, Any], sign: int) -> None:
        quantity = line["quantity"] * sign
        amount = quantity * line["unit_price"]
        self.connection.execute(UPSERT_CART, (cart_id, line["currency"], sign, quantity, amount))
        self.connection.execute(UPSERT_ITEM, (line["item"], sign, quantity))


def _line(document: Document) -> dict[str, Any]:
    return {
        "item": document["item"],
        "quantity": document["quantity"],
        "unit_price": _money(document),
        "currency": document["currency"],
    }


def _money(document: Document) -> Decimal:
    return Decimal(str(document["price"]))
