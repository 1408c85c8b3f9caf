-- Counts the totals anew and tells where they differ.
-- Plan: one scan of the rows, grouped; one of the total; a full join.
WITH counted AS (
  SELECT item, count(*) AS line_count, sum(quantity) AS total_quantity
  FROM projector_g1.cart_items WHERE NOT deleted GROUP BY 1),
wrong AS (
  SELECT item, COALESCE(l.line_count, 0) - COALESCE(c.line_count, 0) AS line_count,
    COALESCE(l.total_quantity, 0) - COALESCE(c.total_quantity, 0) AS total_quantity
  FROM counted l FULL JOIN projector_g1.item_totals c USING (item)
  WHERE COALESCE(l.line_count, 0) <> COALESCE(c.line_count, 0)
    OR COALESCE(l.total_quantity, 0) <> COALESCE(c.total_quantity, 0))
SELECT (SELECT COALESCE(sum(line_count), 0)::bigint FROM counted), (SELECT count(*) FROM wrong), ARRAY(
  SELECT format('item %%s: off by %%s lines, quantity %%s', left(item, 60), -line_count,
    -total_quantity)
  FROM wrong ORDER BY item LIMIT %(examples)s)
