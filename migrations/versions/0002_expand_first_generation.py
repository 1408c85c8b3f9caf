from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE SCHEMA projector_g1
    """,
    """
    CREATE TABLE projector_g1.cart_items (
        epk BIGINT NOT NULL,
        lsn BIGINT NOT NULL,
        ts BIGINT NOT NULL,
        lineage INTEGER NOT NULL,
        deleted BOOLEAN NOT NULL,
        rejected BOOLEAN DEFAULT false NOT NULL,
        cart_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        item TEXT COLLATE "C",
        quantity NUMERIC,
        unit_price NUMERIC,
        currency TEXT COLLATE "C",
        etag TEXT NOT NULL,
        extra JSONB,
        tombstone_tick BIGINT,
        p_deleted BOOLEAN,
        p_same BOOLEAN,
        p_item TEXT COLLATE "C",
        p_quantity NUMERIC,
        p_unit_price NUMERIC,
        p_currency TEXT COLLATE "C",
        CONSTRAINT cart_items_pkey PRIMARY KEY (cart_id, id),
        CONSTRAINT cart_items_key CHECK (cart_id <> '' AND id <> '' AND octet_length(cart_id) <= 1024),
        CONSTRAINT cart_items_live CHECK (deleted OR (item IS NOT NULL AND item <> '' AND octet_length(item) <= 1024 AND quantity IS NOT NULL)),
        CONSTRAINT cart_items_quantity CHECK (quantity > -1e18 AND quantity < 1e18),
        CONSTRAINT cart_items_unit_price CHECK (unit_price > -1e18 AND unit_price < 1e18),
        CONSTRAINT cart_items_currency CHECK (octet_length(currency) = 3 AND currency = upper(currency))
    )
     WITH (fillfactor = 75)
    """,
    """
    CREATE INDEX cart_items_tombstones ON projector_g1.cart_items (epk) WHERE deleted
    """,
    """
    CREATE TABLE projector_g1.cart_totals (
        line_count BIGINT NOT NULL,
        cart_id TEXT COLLATE "C" NOT NULL,
        bucket TEXT COLLATE "C" NOT NULL,
        total_quantity NUMERIC NOT NULL,
        total_amount NUMERIC NOT NULL,
        CONSTRAINT cart_totals_pkey PRIMARY KEY (cart_id, bucket),
        CONSTRAINT cart_totals_numbers CHECK (total_quantity <> 'NaN' AND total_amount <> 'NaN')
    )
     WITH (fillfactor = 70)
    """,
    """
    CREATE TABLE projector_g1.item_totals (
        line_count BIGINT NOT NULL,
        item TEXT COLLATE "C" NOT NULL,
        total_quantity NUMERIC NOT NULL,
        CONSTRAINT item_totals_pkey PRIMARY KEY (item),
        CONSTRAINT item_totals_numbers CHECK (total_quantity <> 'NaN')
    )
     WITH (fillfactor = 70)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP SCHEMA projector_g1 CASCADE")
