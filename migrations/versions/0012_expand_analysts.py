from __future__ import annotations

import re

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

VIEWS = {
    "cart_items": """
    SELECT cart_id, id, item COLLATE pg_catalog."default" AS item, quantity, unit_price,
           currency COLLATE pg_catalog."default" AS currency,
           quantity * unit_price AS amount,
           to_timestamp(ts::double precision) AS changed_at,
           COALESCE(extra, '{}'::jsonb) AS extra
    FROM projector_g1.cart_items
    WHERE NOT deleted
    """,
    "cart_totals": """
    SELECT t.cart_id, t.line_count, trim_scale(t.total_quantity) AS total_quantity,
           trim_scale(t.total_amount) AS total_amount,
           t.currency COLLATE pg_catalog."default" AS currency,
           to_timestamp(c.first_ts::double precision) AS first_changed_at,
           to_timestamp(c.last_ts::double precision) AS last_changed_at
    FROM (SELECT cart_id,
                 sum(line_count)::bigint AS line_count,
                 sum(total_quantity) AS total_quantity,
                 CASE WHEN count(*) FILTER (WHERE bucket <> '') = 1
                      THEN sum(total_amount) FILTER (WHERE bucket <> '') END AS total_amount,
                 CASE WHEN count(*) FILTER (WHERE bucket <> '') = 1
                      THEN max(bucket) FILTER (WHERE bucket NOT IN ('', '-')) END AS currency
          FROM projector_g1.cart_totals
          WHERE line_count > 0
          GROUP BY cart_id) AS t
    CROSS JOIN LATERAL (SELECT min(i.ts) AS first_ts, max(i.ts) AS last_ts
                        FROM projector_g1.cart_items AS i
                        WHERE i.cart_id = t.cart_id AND NOT i.deleted) AS c
    """,
    "cart_amounts": """
    SELECT cart_id, NULLIF(bucket, '-') COLLATE pg_catalog."default" AS currency,
           line_count AS priced_line_count, trim_scale(total_amount) AS total_amount
    FROM projector_g1.cart_totals
    WHERE line_count > 0 AND bucket <> ''
    """,
    "item_totals": """
    SELECT item COLLATE pg_catalog."default" AS item, line_count,
           trim_scale(total_quantity) AS total_quantity
    FROM projector_g1.item_totals
    WHERE line_count > 0
    """,
}

# A view's column cannot change its collation, so the view is made anew, with the grants and comments
# it had. Somebody's own view stands on it: then it stays, and so do the collations of its columns.
MADE_ANEW = """
DO $do$
DECLARE
    again text[];
    command text;
BEGIN
    SELECT COALESCE(array_agg(g), '{}') INTO again FROM (
        SELECT format('GRANT %s ON carts.{name} TO %s%s', a.privilege_type,
                      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                      CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS g
        FROM pg_class AS c, aclexplode(c.relacl) AS a
        WHERE c.oid = 'carts.{name}'::regclass AND a.grantee <> c.relowner
        UNION ALL
        SELECT format('GRANT %s (%I) ON carts.{name} TO %s', a.privilege_type, t.attname,
                      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
        FROM pg_attribute AS t, aclexplode(t.attacl) AS a
        WHERE t.attrelid = 'carts.{name}'::regclass
        UNION ALL
        SELECT format('COMMENT ON VIEW carts.{name} IS %L', description)
        FROM pg_description WHERE objoid = 'carts.{name}'::regclass AND objsubid = 0
        UNION ALL
        SELECT format('COMMENT ON COLUMN carts.{name}.%I IS %L', t.attname, d.description)
        FROM pg_description AS d
        JOIN pg_attribute AS t ON t.attrelid = d.objoid AND t.attnum = d.objsubid
        WHERE d.objoid = 'carts.{name}'::regclass) AS each;
    BEGIN
        DROP VIEW carts.{name};
    EXCEPTION WHEN dependent_objects_still_exist THEN
        RAISE NOTICE 'carts.{name} keeps the collations of its columns: other views stand on it';
        EXECUTE $view$CREATE OR REPLACE VIEW carts.{name} AS {kept}$view$;
        RETURN;
    END;
    EXECUTE $view$CREATE VIEW carts.{name} AS {query}$view$;
    FOREACH command IN ARRAY again LOOP
        EXECUTE command;
    END LOOP;
END
$do$
"""
# The last change of a cart becomes a column, kept by whoever writes rows; for hosts of the release
# before a trigger does it. Filling it, its index and the view that reads it come afterwards, outside of
# this transaction (`projector.postgres.filling`): they take long, and nobody is to wait for them.
LAST_CHANGE = (
    """
    ALTER TABLE projector_g1.cart_totals
      ADD COLUMN last_changed_at TIMESTAMP WITH TIME ZONE, ADD COLUMN left_at TIMESTAMP WITH TIME ZONE
    """,
    """
    ALTER TABLE projector_g1.cart_items ADD COLUMN p_ts BIGINT
    """,
    """
    CREATE FUNCTION projector_g1.newest_line(of_cart text, of_bucket text) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
      RETURN (SELECT to_timestamp(max(i.ts)) FROM projector_g1.cart_items AS i
        WHERE i.cart_id = of_cart AND NOT i.deleted
          AND CASE WHEN i.unit_price IS NULL THEN '' ELSE COALESCE(i.currency, '-') END = of_bucket);
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION projector_g1.count_copied() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
      INSERT INTO projector_g1.cart_totals AS c
        (cart_id, bucket, line_count, total_quantity, total_amount, last_changed_at)
      SELECT cart_id, CASE WHEN unit_price IS NULL THEN '' ELSE COALESCE(currency, '-') END AS bucket,
        count(*), sum(quantity), COALESCE(sum(quantity * unit_price), 0), to_timestamp(max(ts))
      FROM copied WHERE NOT deleted
      GROUP BY 1, 2 ORDER BY 1, 2
      ON CONFLICT (cart_id, bucket) DO UPDATE SET
        line_count = c.line_count + excluded.line_count,
        total_quantity = c.total_quantity + excluded.total_quantity,
        total_amount = c.total_amount + excluded.total_amount,
        last_changed_at = CASE WHEN c.line_count > 0 AND c.last_changed_at IS NULL
          THEN projector_g1.newest_line(c.cart_id, c.bucket)
          ELSE GREATEST(c.last_changed_at, excluded.last_changed_at) END;
      INSERT INTO projector_g1.item_totals AS i (item, line_count, total_quantity)
      SELECT item, count(*), sum(quantity) FROM copied WHERE NOT deleted
      GROUP BY 1 ORDER BY 1
      ON CONFLICT (item) DO UPDATE SET
        line_count = i.line_count + excluded.line_count,
        total_quantity = i.total_quantity + excluded.total_quantity;
      IF current_setting('projector.copied') <> 'alone' THEN
        INSERT INTO projector.replay_seen (seen_group, keys_1, keys_2)
        SELECT current_setting('projector.copied')::bigint,
          array_agg(hashtextextended(cart_id || chr(1) || id, 0)),
          array_agg(hashtextextended(cart_id || chr(1) || id, 24301)) FROM copied;
      END IF;
      PERFORM set_config('projector.copied', '', true);
      RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION projector_g1.keep_last() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
      UPDATE projector_g1.cart_totals AS c SET last_changed_at = projector_g1.newest_line(c.cart_id, c.bucket)
      FROM (SELECT DISTINCT cart_id FROM fresh) AS f
      WHERE c.cart_id = f.cart_id
        AND c.last_changed_at IS DISTINCT FROM projector_g1.newest_line(c.cart_id, c.bucket);
      RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER cart_items_keep_insert AFTER INSERT ON projector_g1.cart_items
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT
    WHEN (current_setting('projector.keeps', true) IS DISTINCT FROM 'last_changed_at'
      AND COALESCE(current_setting('projector.copied', true), '') = '')
    EXECUTE FUNCTION projector_g1.keep_last()
    """,
    """
    CREATE TRIGGER cart_items_keep_update AFTER UPDATE ON projector_g1.cart_items
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT
    WHEN (current_setting('projector.keeps', true) IS DISTINCT FROM 'last_changed_at'
      AND COALESCE(current_setting('projector.copied', true), '') = '')
    EXECUTE FUNCTION projector_g1.keep_last()
    """,
    # The same bounds at half the cost; what is there obeyed the former ones, and is looked at later.
    """
    ALTER TABLE projector_g1.cart_items
      DROP CONSTRAINT cart_items_quantity, DROP CONSTRAINT cart_items_unit_price,
      ADD CONSTRAINT cart_items_quantity CHECK (abs(quantity) < 1e18) NOT VALID,
      ADD CONSTRAINT cart_items_unit_price CHECK (abs(unit_price) < 1e18) NOT VALID
    """,
)
COUNTED_BEFORE = """
    CREATE OR REPLACE FUNCTION projector_g1.count_copied() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
      INSERT INTO projector_g1.cart_totals AS c
        (cart_id, bucket, line_count, total_quantity, total_amount)
      SELECT cart_id, CASE WHEN unit_price IS NULL THEN '' ELSE COALESCE(currency, '-') END AS bucket,
        count(*), sum(quantity), COALESCE(sum(quantity * unit_price), 0)
      FROM copied WHERE NOT deleted
      GROUP BY 1, 2 ORDER BY 1, 2
      ON CONFLICT (cart_id, bucket) DO UPDATE SET
        line_count = c.line_count + excluded.line_count,
        total_quantity = c.total_quantity + excluded.total_quantity,
        total_amount = c.total_amount + excluded.total_amount;
      INSERT INTO projector_g1.item_totals AS i (item, line_count, total_quantity)
      SELECT item, count(*), sum(quantity) FROM copied WHERE NOT deleted
      GROUP BY 1 ORDER BY 1
      ON CONFLICT (item) DO UPDATE SET
        line_count = i.line_count + excluded.line_count,
        total_quantity = i.total_quantity + excluded.total_quantity;
      IF current_setting('projector.copied') <> 'alone' THEN
        INSERT INTO projector.replay_seen (seen_group, keys_1, keys_2)
        SELECT current_setting('projector.copied')::bigint,
          array_agg(hashtextextended(cart_id || chr(1) || id, 0)),
          array_agg(hashtextextended(cart_id || chr(1) || id, 24301)) FROM copied;
      END IF;
      PERFORM set_config('projector.copied', '', true);
      RETURN NULL;
    END $$
    """
COLLATED = ' COLLATE pg_catalog."default"'


def upgrade() -> None:
    # By its hash, which no update of the operating system's collations makes wrong.
    op.execute("""
    CREATE INDEX item_totals_item ON projector_g1.item_totals
    USING hash (item COLLATE pg_catalog."default")
    """)
    for name, query in VIEWS.items():
        make_anew(name, query, kept=query.replace(COLLATED, ""))
    for statement in LAST_CHANGE:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX projector_g1.item_totals_item")
    for name, query in VIEWS.items():
        before = re.sub(r"trim_scale\(([a-z_.]+)\)", r"\1", query.replace(COLLATED, ""))
        make_anew(name, before, kept=before)
    op.execute("DROP TRIGGER cart_items_keep_insert ON projector_g1.cart_items")
    op.execute("DROP TRIGGER cart_items_keep_update ON projector_g1.cart_items")
    op.execute(COUNTED_BEFORE)
    op.execute("DROP FUNCTION projector_g1.keep_last()")
    op.execute("DROP FUNCTION projector_g1.newest_line(text, text)")
    op.execute("""
    ALTER TABLE projector_g1.cart_items DROP COLUMN p_ts,
      DROP CONSTRAINT cart_items_quantity, DROP CONSTRAINT cart_items_unit_price,
      ADD CONSTRAINT cart_items_quantity CHECK (quantity > -1e18 AND quantity < 1e18),
      ADD CONSTRAINT cart_items_unit_price CHECK (unit_price > -1e18 AND unit_price < 1e18)
    """)
    op.execute(
        "ALTER TABLE projector_g1.cart_totals DROP COLUMN last_changed_at, DROP COLUMN left_at"
    )


def make_anew(name: str, query: str, *, kept: str) -> None:
    text = MADE_ANEW.replace("{name}", name).replace("{kept}", kept).replace("{query}", query)
    op.execute(text)
