-- Moves wrong totals by what they are wrong by, beside running batches; the last change is read anew once the
-- total's row is locked.
-- Plan: as that of the count; then one probe of the total's primary key per wrong one.
WITH counted AS (
  SELECT cart_id,
    CASE WHEN unit_price IS NULL THEN '' ELSE COALESCE(currency, '-') END AS bucket, count(*) AS line_count,
    sum(quantity) AS total_quantity, sum(quantity * unit_price) AS total_amount,
    to_timestamp(max(ts)) AS last_changed_at
  FROM projector_g1.cart_items WHERE NOT deleted GROUP BY 1, 2),
wrong AS (
  SELECT cart_id, bucket, COALESCE(l.line_count, 0) - COALESCE(c.line_count, 0) AS line_count,
    COALESCE(l.total_quantity, 0) - COALESCE(c.total_quantity, 0) AS total_quantity,
    COALESCE(l.total_amount, 0) - COALESCE(c.total_amount, 0) AS total_amount, l.last_changed_at,
    c.last_changed_at AS stored_at
  FROM counted l FULL JOIN projector_g1.cart_totals c USING (cart_id, bucket)
  WHERE COALESCE(l.line_count, 0) <> COALESCE(c.line_count, 0)
    OR COALESCE(l.total_quantity, 0) <> COALESCE(c.total_quantity, 0)
    OR COALESCE(l.total_amount, 0) <> COALESCE(c.total_amount, 0)
    OR l.last_changed_at IS DISTINCT FROM c.last_changed_at)
INSERT INTO projector_g1.cart_totals AS c (cart_id, bucket, line_count, total_quantity,
  total_amount, last_changed_at)
SELECT cart_id, bucket, line_count, total_quantity, total_amount,
  last_changed_at FROM wrong ORDER BY cart_id, bucket LIMIT %(limit)s
ON CONFLICT (cart_id, bucket) DO UPDATE SET
  line_count = c.line_count + excluded.line_count,
  total_quantity = c.total_quantity + excluded.total_quantity,
  total_amount = c.total_amount + excluded.total_amount,
  last_changed_at = projector_g1.newest_in_cart_totals(c.cart_id, c.bucket)
