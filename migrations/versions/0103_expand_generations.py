"""Generations: a registry of them, and when each one was what readers see.

The rows that are there are the first generation's; they were made from the definition below, frozen.
"""

from __future__ import annotations

from alembic import op
from alembic.util import CommandError
from sqlalchemy import text

revision = "0103"
down_revision = "0102"
branch_labels = None
depends_on = None

# `processor_name`: of its leases; NULL: as the settings of the hosts say. `fed_until`: a former one is kept
# as current as the live one until then. `forced`: who made it live although it was not proven equal.
GENERATIONS = """
CREATE TABLE projector.generations (
    id integer NOT NULL,
    schema_name text COLLATE "C" NOT NULL,
    control_schema text COLLATE "C" NOT NULL,
    definition jsonb NOT NULL,
    definition_hash text COLLATE "C" NOT NULL,
    processor_name text COLLATE "C",
    state text COLLATE "C" NOT NULL,
    source text COLLATE "C",
    who text,
    why text,
    created_at timestamptz NOT NULL,
    filled_at timestamptz,
    fed_until timestamptz,
    ended_at timestamptz,
    documents bigint,
    request_units double precision,
    verified_at timestamptz,
    differences jsonb,
    forced text,
    forced_at timestamptz,
    CONSTRAINT generations_pkey PRIMARY KEY (id),
    CONSTRAINT generations_schema UNIQUE (schema_name),
    CONSTRAINT generations_control UNIQUE (control_schema),
    CONSTRAINT generations_state CHECK (state IN
        ('filling', 'following', 'live', 'former', 'retired', 'aborted'))
)"""

ONE_LIVE = """
CREATE UNIQUE INDEX generations_one_live ON projector.generations (state) WHERE state = 'live'"""

ONE_REBUILD = """
CREATE UNIQUE INDEX generations_one_rebuild ON projector.generations ((true))
WHERE state IN ('filling', 'following')"""

# NULL: it still is.
REIGNS = """
CREATE TABLE projector.reigns (
    generation integer NOT NULL,
    live_from timestamptz NOT NULL,
    live_until timestamptz,
    CONSTRAINT reigns_pkey PRIMARY KEY (live_from),
    CONSTRAINT reigns_generation FOREIGN KEY (generation) REFERENCES projector.generations (id)
)"""

FIRST = """
INSERT INTO projector.generations
  (id, schema_name, control_schema, definition, definition_hash, state, created_at)
VALUES (1, 'projector_g1', 'projector', CAST(:definition AS jsonb), '177db8b676a7', 'live', now())"""

# Views read both until a host has dropped the former one, which is later than it is retired.
KEPT = """
SELECT to_char(max(fed_until) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"')
FROM projector.generations
WHERE EXISTS (
  SELECT FROM pg_depend AS d
  JOIN pg_rewrite AS r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_class AS v ON v.oid = r.ev_class
  WHERE d.refobjid = 'projector.generations'::regclass AND v.relnamespace = to_regnamespace('carts'))"""

STILL_KEPT = (
    "a former generation is kept until {until}, and the views read the registry as long as it is there:"
    " wait, or end it now (UPDATE projector.generations SET fed_until = now() WHERE state = 'former');"
    " once the housekeeping of a host has dropped it, within ten minutes, downgrade again"
)

FIRST_REIGN = "INSERT INTO projector.reigns (generation, live_from) VALUES (1, '-infinity')"

DEFINITION = """
{
  "name": "carts",
  "container": "cart",
  "schema": "carts",
  "rows": "cart_items",
  "rows_comment": "One row per live cart line: the newest version of a document that is good and not deleted.",
  "noun": "cart",
  "row_noun": "line",
  "key": {
    "name": "cartId",
    "column": "cart_id",
    "kind": "text",
    "comment": "The cart (cartId of the document)."
  },
  "id_comment": "The document's id, unique within the cart.",
  "fields": [
    {"name": "item", "column": "item", "kind": "text", "comment": "Name of the article."},
    {"name": "quantity", "column": "quantity", "kind": "number", "comment": "How many; exact."},
    {
      "name": "price",
      "column": "unit_price",
      "kind": "number",
      "comment": "Price of one, exact; NULL when the document bears none.",
      "optional": true,
      "quoted": true
    },
    {
      "name": "currency",
      "column": "currency",
      "kind": "code",
      "comment": "Currency of the price, three capital letters; NULL when not told.",
      "optional": true,
      "pattern": "[A-Z]{3}",
      "told": "three capital letters"
    }
  ],
  "products": [
    {
      "column": "amount",
      "factors": ["quantity", "unit_price"],
      "comment": "quantity x unit_price, unrounded; NULL without a price."
    }
  ],
  "totals": [
    {
      "name": "cart_totals",
      "comment": "One row per cart with at least one live line.",
      "by": [{"column": "cart_id", "of": "cart_id", "comment": "The cart."}],
      "row_count": "line_count",
      "row_count_comment": "Number of live lines.",
      "sums": [
        {
          "column": "total_quantity",
          "of": "quantity",
          "comment": "Sum of the quantities of the live lines."
        },
        {
          "column": "total_amount",
          "of": "amount",
          "comment": "Sum of the amounts of the lines with a price; NULL when no line has a price or currencies are mixed (see cart_amounts).",
          "per_bucket": true,
          "bucket_comment": "Sum of their amounts."
        }
      ],
      "bucket": {
        "by": "currency",
        "of": "unit_price",
        "view": "cart_amounts",
        "view_comment": "One row per cart and currency with at least one live line that has a price.",
        "column": "currency",
        "comment": "The one currency of total_amount; NULL when none, not told or mixed.",
        "column_comment": "The currency; NULL for prices without one.",
        "row_count": "priced_line_count",
        "row_count_comment": "Number of live lines with a price in this currency."
      },
      "keeps_last_change": true
    },
    {
      "name": "item_totals",
      "comment": "One row per article with at least one live line.",
      "by": [{"column": "item", "of": "item", "comment": "Name of the article."}],
      "row_count": "line_count",
      "row_count_comment": "Number of live lines.",
      "sums": [{"column": "total_quantity", "of": "quantity", "comment": "Sum of their quantities."}]
    }
  ],
  "row_text": ["{quantity}", " x {item}", " at {unit_price}", " {currency}"]
}
"""


def upgrade() -> None:
    for statement in (GENERATIONS, ONE_LIVE, ONE_REBUILD, REIGNS):
        op.execute(statement)
    op.execute(text(FIRST).bindparams(definition=DEFINITION))
    op.execute(FIRST_REIGN)


def downgrade() -> None:
    kept = op.get_bind().execute(text(KEPT)).scalar()
    if kept is not None:
        raise CommandError(STILL_KEPT.format(until=kept))
    op.execute("DROP TABLE projector.reigns, projector.generations")
