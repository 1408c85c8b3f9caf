"""The storage tables as SQLAlchemy metadata: one control schema, one schema per generation.

`projector` holds positions, replays, quarantine and reports; `projector_g1` (and later ones) the
rows and totals that the views in `carts` read. Migrations create them; a test holds the result of
the migrations against this file. Text that is a key or is compared in order is COLLATE "C", so
that the database orders as Python does, whatever its own collation. Constraints are the last
net under `projector.projection`, not a second set of rules.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.schema import ExecutableDDLElement

from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.triggers import ONE_RANGE_PER_KEY, counting

CONTROL_SCHEMA = "projector"

control = MetaData(schema=CONTROL_SCHEMA)
epochs = Sequence("epochs", metadata=control)
seen_groups = Sequence("seen_groups", metadata=control)


def _key(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text(collation="C"), nullable=nullable)


def _ddl(statement: str) -> ExecutableDDLElement:
    made: ExecutableDDLElement = DDL(statement)  # type: ignore[no-untyped-call]  # theirs
    return made


def _time(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _number(name: str, *, nullable: bool = True, default: str | None = None) -> Column[int]:
    server_default = None if default is None else text(default)
    return Column(name, BigInteger, nullable=nullable, server_default=server_default)


source = Table(
    "source",
    control,
    Column("one_row", Boolean, nullable=False, server_default=text("true")),
    _key("container_rid"),
    _time("accepted_at", nullable=False),
    Column("account", Text, nullable=True),
    Column("database_name", Text, nullable=True),
    Column("container_name", Text, nullable=True),
    Column("key_path", Text, nullable=True),
    Column("projection", Text, nullable=True),
    _key("described_rid", nullable=True),  # the container that the names before it are of
    PrimaryKeyConstraint("one_row", name="source_pkey"),
    CheckConstraint("one_row", name="source_one_row"),
)

target = Table(
    "target",
    control,
    Column("one_row", Boolean, nullable=False, server_default=text("true")),
    Column("id", UUID, nullable=False),
    _key("server"),
    _time("made_at", nullable=False),
    PrimaryKeyConstraint("one_row", name="target_pkey"),
    CheckConstraint("one_row", name="target_one_row"),
)

ranges = Table(
    "ranges",
    control,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    _key("container_rid"),
    _key("processor_name"),
    _key("lease_token"),
    _key("min_epk"),
    _key("max_epk"),
    _key("owner", nullable=True),
    _number("epoch", nullable=False),
    _number("opened_epoch", nullable=False),
    Column("lineage", Integer, nullable=False),
    Column("placed", Boolean, nullable=False, server_default=text("false")),
    Column("continuation", Text, nullable=True),
    _number("lsn"),
    _time("position_time"),
    Column("anchored_from", Text, nullable=True),
    _number("tick", nullable=False, default="0"),
    Column("recent_ticks", ARRAY(BigInteger), nullable=False),
    _number("read_tick", nullable=False, default="0"),
    _number("purged_tick", nullable=False, default="0"),
    _number("seen_group"),
    Column("quarantined", Boolean, nullable=False, server_default=text("false")),
    _time("opened_at", nullable=False),
    _time("retired_at"),
    _time("last_commit_at"),
    _time("read_since"),  # documents last changed before it were never asked for
    PrimaryKeyConstraint("id", name="ranges_pkey"),
    UniqueConstraint("container_rid", "min_epk", "max_epk", "lease_token", name="ranges_identity"),
    CheckConstraint("min_epk < max_epk", name="ranges_not_empty"),
    postgresql_with={"fillfactor": 50},
)

replays = Table(
    "replays",
    control,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column(
        "range_id",
        BigInteger,
        ForeignKey("projector.ranges.id", name="replays_range", ondelete="CASCADE"),
        nullable=False,
    ),
    _key("phase"),
    _number("mark_lsn"),
    _number("seen_group"),
    _time("requested_at", nullable=False),
    _time("started_at"),
    _time("ended_at"),
    PrimaryKeyConstraint("id", name="replays_pkey"),
    CheckConstraint(
        "phase IN ('requested', 'running', 'done', 'replaced', 'inherited')", name="replays_phase"
    ),
    CheckConstraint("phase <> 'running' OR seen_group IS NOT NULL", name="replays_running"),
)
Index(
    "replays_one_open",
    replays.c.range_id,
    unique=True,
    postgresql_where=text("phase IN ('requested', 'running')"),
)

replay_seen = Table(
    "replay_seen",
    control,
    _number("seen_group", nullable=False),
    Column("part", BigInteger, Identity(always=True), nullable=False),
    Column("keys_1", ARRAY(BigInteger), nullable=False),
    Column("keys_2", ARRAY(BigInteger), nullable=False),
    PrimaryKeyConstraint("seen_group", "part", name="replay_seen_pkey"),
)

replay_candidates = Table(
    "replay_candidates",
    control,
    _number("range_id", nullable=False),
    _number("place", nullable=False),
    _key("partition_key"),
    _key("document_id"),
    PrimaryKeyConstraint("range_id", "place", name="replay_candidates_pkey"),
)

quarantine = Table(
    "quarantine",
    control,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    _number("key_1", nullable=False),
    _number("key_2", nullable=False),
    _key("partition_key"),
    _key("document_id"),
    _key("cart_id", nullable=True),
    _number("epk"),
    Column("lineage", Integer, nullable=False),
    _number("lsn", nullable=False),
    _number("ts", nullable=False),
    Column("etag", Text, nullable=False),
    _key("status"),
    _key("reason"),
    Column("detail", Text, nullable=False),
    _key("sqlstate", nullable=True),
    Column("raw", LargeBinary, nullable=False),
    Column("last_good", JSONB, nullable=True),
    _time("first_seen_at", nullable=False),
    _time("last_seen_at", nullable=False),
    _time("closed_at"),
    _number("count", nullable=False, default="1"),
    _number("seen_group"),
    _time("asked_at"),
    Column("asked_by", Text, nullable=True),  # the rules under which its document was asked for
    PrimaryKeyConstraint("id", name="quarantine_pkey"),
    UniqueConstraint("key_1", "key_2", name="quarantine_identity"),
    CheckConstraint("status IN ('open', 'discarded', 'closed')", name="quarantine_status"),
)
Index("quarantine_not_closed", quarantine.c.epk, postgresql_where=text("status <> 'closed'"))

range_reports = Table(
    "range_reports",
    control,
    _key("lease_token"),
    _key("min_epk"),
    _key("max_epk"),
    _number("range_id", nullable=False),
    _number("epoch", nullable=False),
    _key("owner"),
    _key("state"),
    _time("state_since", nullable=False),
    _time("last_poll_at"),
    _number("gap_changes"),
    Column("lag_seconds", Double, nullable=True),
    _number("session_lsn"),
    _time("caught_up_at"),
    Column("failure", JSONB, nullable=True),
    Column("properties", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _time("reported_at", nullable=False),
    _time("complete_at"),
    PrimaryKeyConstraint("lease_token", name="range_reports_pkey"),
    postgresql_with={"fillfactor": 50},
)

housekeeping_runs = Table(
    "housekeeping_runs",
    control,
    _key("job"),
    _time("last_started_at", nullable=False),
    _time("last_ended_at"),
    _time("last_success_at"),
    Column("last_error", Text, nullable=True),
    Column("result", JSONB, nullable=True),
    _key("holder", nullable=True),
    _time("held_until"),
    PrimaryKeyConstraint("job", name="housekeeping_runs_pkey"),
)

# Hashes do not compress; trying costs the batch that stores them.
for _column in ("keys_1", "keys_2"):
    _statement = f"ALTER TABLE projector.replay_seen ALTER COLUMN {_column} SET STORAGE EXTERNAL"
    event.listen(replay_seen, "after_create", _ddl(_statement))


for _statement in ONE_RANGE_PER_KEY:
    event.listen(ranges, "after_create", _ddl(_statement))

ITEM_BY_HASH = """
CREATE INDEX item_totals_item ON {rows}.item_totals
USING hash (item COLLATE pg_catalog."default")"""


def generation_tables(generation: Generation = FIRST_GENERATION) -> MetaData:
    """The tables of one generation: rows and both totals, empty, in that schema."""
    metadata = MetaData(schema=generation.schema)
    _cart_items(metadata, generation)
    _cart_totals(metadata)
    _item_totals(metadata)
    return metadata


def _cart_items(metadata: MetaData, generation: Generation) -> Table:
    # Fixed widths first: the server finds them without walking over the texts.
    table = Table(
        "cart_items",
        metadata,
        _number("epk", nullable=False),
        _number("lsn", nullable=False),
        _number("ts", nullable=False),
        Column("lineage", Integer, nullable=False),
        Column("deleted", Boolean, nullable=False),
        Column("rejected", Boolean, nullable=False, server_default=text("false")),
        _key("cart_id"),
        _key("id"),
        _key("item", nullable=True),
        Column("quantity", Numeric, nullable=True),
        Column("unit_price", Numeric, nullable=True),
        _key("currency", nullable=True),
        Column("etag", Text, nullable=False),
        Column("extra", JSONB, nullable=True),
        _number("tombstone_tick"),
        # The previous image, for servers whose RETURNING cannot tell it (before 18).
        Column("p_deleted", Boolean, nullable=True),
        Column("p_same", Boolean, nullable=True),
        _key("p_item", nullable=True),
        Column("p_quantity", Numeric, nullable=True),
        Column("p_unit_price", Numeric, nullable=True),
        _key("p_currency", nullable=True),
        _number("p_ts"),
        PrimaryKeyConstraint("cart_id", "id", name="cart_items_pkey"),
        CheckConstraint(
            "cart_id <> '' AND id <> '' AND octet_length(cart_id) <= 1024", name="cart_items_key"
        ),
        CheckConstraint(
            "deleted OR (item IS NOT NULL AND item <> '' AND octet_length(item) <= 1024"
            " AND quantity IS NOT NULL)",
            name="cart_items_live",
        ),
        # NaN sorts above every number, so one bound keeps out NaN and both infinities.
        CheckConstraint("abs(quantity) < 1e18", name="cart_items_quantity"),
        CheckConstraint("abs(unit_price) < 1e18", name="cart_items_unit_price"),
        CheckConstraint(
            "octet_length(currency) = 3 AND currency = upper(currency)", name="cart_items_currency"
        ),
        postgresql_with={"fillfactor": 75},
    )
    # Not on a column that live updates change, or those would no longer be heap-only.
    Index("cart_items_tombstones", table.c.epk, postgresql_where=text("deleted"))
    for statement in counting(generation):
        event.listen(table, "after_create", _ddl(statement))
    return table


def _cart_totals(metadata: MetaData) -> Table:
    table = Table(
        "cart_totals",
        metadata,
        _number("line_count", nullable=False),
        _key("cart_id"),
        _key("bucket"),
        Column("total_quantity", Numeric, nullable=False),
        Column("total_amount", Numeric, nullable=False),
        _time("last_changed_at"),  # of its newest line; NULL when it has none
        _time("left_at"),  # spare: what an upsert has to tell beside the values
        PrimaryKeyConstraint("cart_id", "bucket", name="cart_totals_pkey"),
        CheckConstraint(
            "total_quantity <> 'NaN' AND total_amount <> 'NaN'", name="cart_totals_numbers"
        ),
        postgresql_with={"fillfactor": 70},
    )
    Index(
        "cart_totals_last",
        table.c.last_changed_at,
        postgresql_where=text("last_changed_at IS NOT NULL"),
    )
    return table


def _item_totals(metadata: MetaData) -> Table:
    table = Table(
        "item_totals",
        metadata,
        _number("line_count", nullable=False),
        _key("item"),
        Column("total_quantity", Numeric, nullable=False),
        PrimaryKeyConstraint("item", name="item_totals_pkey"),
        CheckConstraint("total_quantity <> 'NaN'", name="item_totals_numbers"),
        postgresql_with={"fillfactor": 70},
    )
    # The view's item bears the collation of the database, for which the primary key is no index.
    # By its hash, which no update of the operating system's collations makes wrong.
    event.listen(table, "after_create", _ddl(ITEM_BY_HASH.format(rows=metadata.schema)))
    return table
