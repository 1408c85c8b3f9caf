-- Totals of carts without lines, some at a time, in the order in which batches lock them.
-- Plan: one scan of the totals, a sort of what is empty, each deleted by its place.
DELETE FROM projector_g1.cart_totals WHERE line_count = 0 AND ctid = ANY (ARRAY(
  SELECT ctid FROM projector_g1.cart_totals WHERE line_count = 0
  ORDER BY cart_id, bucket LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
