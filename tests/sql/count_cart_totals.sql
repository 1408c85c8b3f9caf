-- Counts the totals anew and tells where they differ.
-- Plan: one scan of the rows, grouped; one of the total; a full join.
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
SELECT (SELECT COALESCE(sum(line_count), 0)::bigint FROM counted), (SELECT count(*) FROM wrong), ARRAY(
  SELECT format('cart %%s, currency %%s: off by %%s lines, quantity %%s, amount %%s%%s',
    left(cart_id, 60),
    CASE bucket WHEN '' THEN 'none (no price)' WHEN '-' THEN 'none' ELSE bucket END, -line_count,
    -total_quantity, -total_amount, CASE WHEN last_changed_at IS DISTINCT FROM stored_at
    THEN format('; last change %%s instead of %%s', COALESCE(stored_at::text, 'none'),
      COALESCE(last_changed_at::text, 'none')) END)
  FROM wrong ORDER BY cart_id, bucket LIMIT %(examples)s)
