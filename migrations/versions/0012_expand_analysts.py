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
    SELECT array_agg(g) INTO again FROM (
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
COLLATED = ' COLLATE pg_catalog."default"'


def upgrade() -> None:
    # By its hash, which no update of the operating system's collations makes wrong.
    op.execute("""
    CREATE INDEX item_totals_item ON projector_g1.item_totals
    USING hash (item COLLATE pg_catalog."default")
    """)
    for name, query in VIEWS.items():
        make_anew(name, query, kept=query.replace(COLLATED, ""))


def downgrade() -> None:
    op.execute("DROP INDEX projector_g1.item_totals_item")
    for name, query in VIEWS.items():
        before = re.sub(r"trim_scale\(([a-z_.]+)\)", r"\1", query.replace(COLLATED, ""))
        make_anew(name, before, kept=before)


def make_anew(name: str, query: str, *, kept: str) -> None:
    text = MADE_ANEW.replace("{name}", name).replace("{kept}", kept).replace("{query}", query)
    op.execute(text)
