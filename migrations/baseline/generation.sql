-- The first generation of carts: rows, totals, and what counts rows that are copied in.

CREATE SCHEMA projector_g1;

CREATE TABLE projector_g1.cart_items (
    epk bigint NOT NULL,
    lsn bigint NOT NULL,
    ts bigint NOT NULL,
    lineage integer NOT NULL,
    deleted boolean NOT NULL,
    rejected boolean NOT NULL DEFAULT false,
    cart_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    item text COLLATE "C",
    quantity numeric,
    unit_price numeric,
    currency text COLLATE "C",
    etag text NOT NULL,
    extra jsonb,
    tombstone_tick bigint,
    p_deleted boolean,
    p_same boolean,
    p_item text COLLATE "C",
    p_quantity numeric,
    p_unit_price numeric,
    p_currency text COLLATE "C",
    p_ts bigint,
    CONSTRAINT cart_items_pkey PRIMARY KEY (cart_id, id),
    CONSTRAINT cart_items_key CHECK (cart_id <> '' AND id <> '' AND octet_length(cart_id) <= 1024),
    CONSTRAINT cart_items_live CHECK (deleted OR (item IS NOT NULL AND item <> '' AND octet_length(item) <= 1024 AND quantity IS NOT NULL)),
    CONSTRAINT cart_items_quantity CHECK (abs(quantity) < 1e18),
    CONSTRAINT cart_items_unit_price CHECK (abs(unit_price) < 1e18),
    CONSTRAINT cart_items_currency CHECK (octet_length(currency) = 3 AND currency = upper(currency))
) WITH (fillfactor = 75);

CREATE INDEX cart_items_tombstones ON projector_g1.cart_items (epk) WHERE deleted;

CREATE TABLE projector_g1.cart_totals (
    line_count bigint NOT NULL,
    cart_id text COLLATE "C" NOT NULL,
    bucket text COLLATE "C" NOT NULL,
    total_quantity numeric NOT NULL,
    total_amount numeric NOT NULL,
    last_changed_at timestamptz,
    left_at timestamptz,
    CONSTRAINT cart_totals_pkey PRIMARY KEY (cart_id, bucket),
    CONSTRAINT cart_totals_numbers CHECK (total_quantity <> 'NaN' AND total_amount <> 'NaN')
) WITH (fillfactor = 70);

CREATE INDEX cart_totals_last ON projector_g1.cart_totals (last_changed_at) WHERE last_changed_at IS NOT NULL;

CREATE TABLE projector_g1.item_totals (
    line_count bigint NOT NULL,
    item text COLLATE "C" NOT NULL,
    total_quantity numeric NOT NULL,
    CONSTRAINT item_totals_pkey PRIMARY KEY (item),
    CONSTRAINT item_totals_numbers CHECK (total_quantity <> 'NaN')
) WITH (fillfactor = 70);

CREATE INDEX item_totals_item ON projector_g1.item_totals USING hash ((item COLLATE pg_catalog."default"));

CREATE FUNCTION projector_g1.newest_in_cart_totals(of_cart_id text, of_bucket text) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT to_timestamp(max(i.ts)) FROM projector_g1.cart_items AS i
    WHERE NOT i.deleted
      AND i.cart_id = of_cart_id
      AND CASE WHEN i.unit_price IS NULL THEN '' ELSE COALESCE(i.currency, '-') END = of_bucket);
END $$;

CREATE FUNCTION projector_g1.count_copied() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO projector_g1.cart_totals AS t (cart_id, bucket, line_count, total_quantity,
    total_amount, last_changed_at)
  SELECT cart_id, CASE WHEN unit_price IS NULL THEN '' ELSE COALESCE(currency, '-') END AS bucket,
    count(*), sum(quantity), COALESCE(sum(quantity * unit_price), 0), to_timestamp(max(ts))
  FROM copied WHERE NOT deleted
  GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (cart_id, bucket) DO UPDATE SET
    line_count = t.line_count + excluded.line_count,
    total_quantity = t.total_quantity + excluded.total_quantity,
    total_amount = t.total_amount + excluded.total_amount,
    last_changed_at = GREATEST(t.last_changed_at, excluded.last_changed_at);
  INSERT INTO projector_g1.item_totals AS t (item, line_count, total_quantity)
  SELECT item, count(*), sum(quantity)
  FROM copied WHERE NOT deleted
  GROUP BY 1 ORDER BY 1
  ON CONFLICT (item) DO UPDATE SET
    line_count = t.line_count + excluded.line_count,
    total_quantity = t.total_quantity + excluded.total_quantity;
  IF current_setting('projector.copied') <> 'alone' THEN
    INSERT INTO projector.replay_seen (seen_group, keys_1, keys_2)
    SELECT current_setting('projector.copied')::bigint,
      array_agg(hashtextextended(cart_id || chr(1) || id, 0)),
      array_agg(hashtextextended(cart_id || chr(1) || id, 24301)) FROM copied;
  END IF;
  PERFORM set_config('projector.copied', '', true);
  RETURN NULL;
END $$;

CREATE TRIGGER cart_items_copied AFTER INSERT ON projector_g1.cart_items
REFERENCING NEW TABLE AS copied FOR EACH STATEMENT
WHEN (current_setting('projector.copied', true) <> '') EXECUTE FUNCTION projector_g1.count_copied();
