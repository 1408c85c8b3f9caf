-- What BI reads, over the first generation.

CREATE SCHEMA carts;
COMMENT ON SCHEMA carts IS 'The cart container as tables: views only, for BI';

CREATE OR REPLACE VIEW carts.cart_items AS
SELECT cart_id,
       id,
       item COLLATE pg_catalog."default" AS item,
       quantity,
       unit_price,
       currency COLLATE pg_catalog."default" AS currency,
       quantity * unit_price AS amount,
       to_timestamp(ts::double precision) AS changed_at,
       COALESCE(extra, '{}'::jsonb) AS extra
FROM projector_g1.cart_items
WHERE NOT deleted;
COMMENT ON VIEW carts.cart_items IS 'One row per live cart line: the newest version of a document that is good and not deleted.';
COMMENT ON COLUMN carts.cart_items.cart_id IS 'The cart (cartId of the document).';
COMMENT ON COLUMN carts.cart_items.id IS 'The document''s id, unique within the cart.';
COMMENT ON COLUMN carts.cart_items.item IS 'Name of the article.';
COMMENT ON COLUMN carts.cart_items.quantity IS 'How many; exact.';
COMMENT ON COLUMN carts.cart_items.unit_price IS 'Price of one, exact; NULL when the document bears none.';
COMMENT ON COLUMN carts.cart_items.currency IS 'Currency of the price, three capital letters; NULL when not told.';
COMMENT ON COLUMN carts.cart_items.amount IS 'quantity x unit_price, unrounded; NULL without a price.';
COMMENT ON COLUMN carts.cart_items.changed_at IS 'When the document was last changed at the source (_ts).';
COMMENT ON COLUMN carts.cart_items.extra IS 'All other fields of the document; {} when there are none.';

CREATE OR REPLACE VIEW carts.cart_totals AS
SELECT n.cart_id,
       n.line_count + o.line_count AS line_count,
       trim_scale(n.total_quantity + o.total_quantity) AS total_quantity,
       CASE WHEN p.buckets = 1 THEN trim_scale(CASE WHEN n.bucket <> '' THEN n.total_amount ELSE o.total_amount END) END AS total_amount,
       CASE WHEN p.buckets = 1 THEN NULLIF(CASE WHEN n.bucket <> '' THEN n.bucket ELSE o.bucket END, '-') END COLLATE pg_catalog."default" AS currency,
       to_timestamp(f.first_ts::double precision) AS first_changed_at,
       n.last_changed_at
FROM projector_g1.cart_totals AS n
CROSS JOIN LATERAL (SELECT COALESCE(sum(b.line_count), 0)::bigint AS line_count,
                           COALESCE(sum(b.total_quantity), 0) AS total_quantity,
                           count(*) FILTER (WHERE b.bucket <> '') AS buckets,
                           sum(b.total_amount) FILTER (WHERE b.bucket <> '') AS total_amount,
                           max(b.bucket) AS bucket,
                           bool_or((b.last_changed_at, b.bucket) > (n.last_changed_at, n.bucket))
                           AS newer
                    FROM projector_g1.cart_totals AS b
                    WHERE b.cart_id = n.cart_id AND b.bucket <> n.bucket
                      AND b.line_count > 0) AS o
CROSS JOIN LATERAL (SELECT o.buckets + (n.bucket <> '')::int AS buckets) AS p
LEFT JOIN LATERAL (SELECT min(i.ts) AS first_ts
                   FROM projector_g1.cart_items AS i
                   WHERE i.cart_id = n.cart_id AND NOT i.deleted) AS f ON true
WHERE n.last_changed_at IS NOT NULL AND o.newer IS NOT TRUE;
COMMENT ON VIEW carts.cart_totals IS 'One row per cart with at least one live line.';
COMMENT ON COLUMN carts.cart_totals.cart_id IS 'The cart.';
COMMENT ON COLUMN carts.cart_totals.line_count IS 'Number of live lines.';
COMMENT ON COLUMN carts.cart_totals.total_quantity IS 'Sum of the quantities of the live lines.';
COMMENT ON COLUMN carts.cart_totals.total_amount IS 'Sum of the amounts of the lines with a price; NULL when no line has a price or currencies are mixed (see cart_amounts).';
COMMENT ON COLUMN carts.cart_totals.currency IS 'The one currency of total_amount; NULL when none, not told or mixed.';
COMMENT ON COLUMN carts.cart_totals.first_changed_at IS 'Oldest changed_at of the live lines.';
COMMENT ON COLUMN carts.cart_totals.last_changed_at IS 'Newest changed_at of the live lines.';

CREATE OR REPLACE VIEW carts.cart_amounts AS
SELECT cart_id,
       NULLIF(bucket, '-') COLLATE pg_catalog."default" AS currency,
       line_count AS priced_line_count,
       trim_scale(total_amount) AS total_amount
FROM projector_g1.cart_totals
WHERE line_count > 0 AND bucket <> '';
COMMENT ON VIEW carts.cart_amounts IS 'One row per cart and currency with at least one live line that has a price.';
COMMENT ON COLUMN carts.cart_amounts.cart_id IS 'The cart.';
COMMENT ON COLUMN carts.cart_amounts.currency IS 'The currency; NULL for prices without one.';
COMMENT ON COLUMN carts.cart_amounts.priced_line_count IS 'Number of live lines with a price in this currency.';
COMMENT ON COLUMN carts.cart_amounts.total_amount IS 'Sum of their amounts.';

CREATE OR REPLACE VIEW carts.item_totals AS
SELECT item COLLATE pg_catalog."default" AS item,
       line_count,
       trim_scale(total_quantity) AS total_quantity
FROM projector_g1.item_totals
WHERE line_count > 0;
COMMENT ON VIEW carts.item_totals IS 'One row per article with at least one live line.';
COMMENT ON COLUMN carts.item_totals.item IS 'Name of the article.';
COMMENT ON COLUMN carts.item_totals.line_count IS 'Number of live lines.';
COMMENT ON COLUMN carts.item_totals.total_quantity IS 'Sum of their quantities.';

CREATE OR REPLACE VIEW carts.freshness AS
WITH live AS (
    SELECT r.min_epk, r.max_epk, r.position_time,
           CASE WHEN r.placed AND p.epoch = r.epoch
                THEN p.lag_seconds + GREATEST(0, extract(epoch FROM now() - p.reported_at))
                END::double precision AS lag_seconds,
           r.last_commit_at
    FROM projector.ranges AS r
    LEFT JOIN projector.range_reports AS p ON p.range_id = r.id
    WHERE r.retired_at IS NULL
), unread AS (
    SELECT reached AS min_epk, min_epk AS max_epk
    FROM (SELECT min_epk, COALESCE(max(max_epk) OVER (
                     ORDER BY min_epk, max_epk ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                     '') AS reached
          FROM (SELECT min_epk, max_epk FROM live
                UNION ALL SELECT 'FF' COLLATE "C", 'FF' COLLATE "C") AS bounds) AS edges
    WHERE reached < min_epk
), parts AS (
    SELECT min_epk || '-' || max_epk AS feed_range, position_time, lag_seconds, last_commit_at
    FROM live
    UNION ALL
    SELECT min_epk || '-' || max_epk, NULL, NULL, NULL FROM unread
)
SELECT feed_range, position_time, lag_seconds, last_commit_at
FROM parts
UNION ALL
SELECT 'all',
       CASE WHEN bool_and(position_time IS NOT NULL) THEN min(position_time) END,
       CASE WHEN bool_and(lag_seconds IS NOT NULL) THEN max(lag_seconds) END,
       max(last_commit_at)
FROM parts;
COMMENT ON VIEW carts.freshness IS 'How current the copy is: one row per feed range, one for each stretch of keys that no host has ever read, and one, named ''all'', for the whole.';
COMMENT ON COLUMN carts.freshness.feed_range IS 'Bounds of the range as min-max of effective partition keys, or ''all''.';
COMMENT ON COLUMN carts.freshness.position_time IS 'Time at the source (_ts) of the newest change that is in the rows; for the whole the oldest of these.';
COMMENT ON COLUMN carts.freshness.lag_seconds IS 'How far the rows may be behind the source, in seconds; NULL when unknown, as for keys that nobody reads; for the whole the greatest, NULL while one is unknown.';
COMMENT ON COLUMN carts.freshness.last_commit_at IS 'When rows or position were last written.';

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'carts_reader') THEN
        BEGIN
            CREATE ROLE carts_reader NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role carts_reader is missing and may not be created here';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'carts_reader') THEN
        GRANT USAGE ON SCHEMA carts TO carts_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA carts TO carts_reader;
    END IF;
END
$$;
