"""What the server does by itself: count rows that are copied in.

Each function has a search path of its own, so that its names are looked up in the server's own schema,
whatever the session says. The baseline holds what comes out for carts, frozen, and a test keeps both equal.
"""

from __future__ import annotations

from collections.abc import Sequence

from projector.postgres.generation import Generation
from projector.postgres.statements import with_seeds

# The newest change of a bucket's live lines. Volatile, so it sees what the statement that calls it has
# written, and what others have committed meanwhile: it is called for a row that is locked already.
NEWEST_LINE = """
CREATE FUNCTION {rows}.newest_line(of_cart text, of_bucket text) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT to_timestamp(max(i.ts)) FROM {rows}.cart_items AS i
    WHERE i.cart_id = of_cart AND NOT i.deleted
      AND CASE WHEN i.unit_price IS NULL THEN '' ELSE COALESCE(i.currency, '-') END = of_bucket);
END $$"""

# Rows that come by COPY are counted by the server itself, from what it has stored, in the order of
# the batch statement: carts, then items. Asleep unless the transaction says that it copies; says that
# it has counted by taking that back. Its names are looked up in the server's own schema, whatever the
# session says.
COUNT_COPIED = """
CREATE FUNCTION {rows}.count_copied() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO {rows}.cart_totals AS c
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
      THEN {rows}.newest_line(c.cart_id, c.bucket)
      ELSE GREATEST(c.last_changed_at, excluded.last_changed_at) END;
  INSERT INTO {rows}.item_totals AS i (item, line_count, total_quantity)
  SELECT item, count(*), sum(quantity) FROM copied WHERE NOT deleted
  GROUP BY 1 ORDER BY 1
  ON CONFLICT (item) DO UPDATE SET
    line_count = i.line_count + excluded.line_count,
    total_quantity = i.total_quantity + excluded.total_quantity;
  IF current_setting('projector.copied') <> 'alone' THEN
    INSERT INTO projector.replay_seen (seen_group, keys_1, keys_2)
    SELECT current_setting('projector.copied')::bigint,
      array_agg(hashtextextended(cart_id || chr(1) || id, {seed_1})),
      array_agg(hashtextextended(cart_id || chr(1) || id, {seed_2})) FROM copied;
  END IF;
  PERFORM set_config('projector.copied', '', true);
  RETURN NULL;
END $$"""
ON_COPY = """
CREATE TRIGGER cart_items_copied AFTER INSERT ON {rows}.cart_items
REFERENCING NEW TABLE AS copied FOR EACH STATEMENT
WHEN (current_setting('projector.copied', true) <> '') EXECUTE FUNCTION {rows}.count_copied()"""


def counting(generation: Generation) -> Sequence[str]:
    """SQL that makes them for one generation, once its tables are there."""
    statements = (NEWEST_LINE, COUNT_COPIED, ON_COPY)
    return [with_seeds(text).replace("{rows}", generation.schema) for text in statements]
