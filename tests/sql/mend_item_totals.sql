-- Moves wrong totals by what they are wrong by, beside running batches.
-- Plan: as that of the count; then one probe of the total's primary key per wrong one.
WITH counted AS (
  SELECT item, count(*) AS line_count, sum(quantity) AS total_quantity
  FROM projector_g1.cart_items WHERE NOT deleted GROUP BY 1),
wrong AS (
  SELECT item, COALESCE(l.line_count, 0) - COALESCE(c.line_count, 0) AS line_count,
    COALESCE(l.total_quantity, 0) - COALESCE(c.total_quantity, 0) AS total_quantity
  FROM counted l FULL JOIN projector_g1.item_totals c USING (item)
  WHERE COALESCE(l.line_count, 0) <> COALESCE(c.line_count, 0)
    OR COALESCE(l.total_quantity, 0) <> COALESCE(c.total_quantity, 0))
INSERT INTO projector_g1.item_totals AS c (item, line_count, total_quantity)
SELECT item, line_count, total_quantity FROM wrong ORDER BY item LIMIT %(limit)s
ON CONFLICT (item) DO UPDATE SET
  line_count = c.line_count + excluded.line_count,
  total_quantity = c.total_quantity + excluded.total_quantity
