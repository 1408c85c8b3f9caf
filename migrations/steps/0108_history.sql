-- What is kept of the past of the carts: its log and days, what writes the log, and the views that tell it.
-- Frozen: what changes from here on comes as steps.

CREATE TABLE IF NOT EXISTS projector.history (
    projection text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    began_at timestamptz NOT NULL,
    known_from timestamptz NOT NULL,
    ended_at timestamptz,
    found bigint,
    CONSTRAINT history_pkey PRIMARY KEY (projection, generation, began_at)
);

CREATE UNIQUE INDEX IF NOT EXISTS history_open ON projector.history (projection, generation)
WHERE ended_at IS NULL;

CREATE TABLE IF NOT EXISTS projector.history_settings (
    one_row boolean NOT NULL DEFAULT true,
    recording boolean NOT NULL,
    abandoned_after interval NOT NULL,
    time_zone text NOT NULL,
    CONSTRAINT history_settings_pkey PRIMARY KEY (one_row),
    CONSTRAINT history_settings_one CHECK (one_row)
);

INSERT INTO projector.history_settings (recording, abandoned_after, time_zone)
VALUES (true, '24 hours', 'UTC')
ON CONFLICT (one_row) DO NOTHING;

CREATE TABLE IF NOT EXISTS projector.days (
    projection text COLLATE "C" NOT NULL,
    day date NOT NULL,
    ends_at timestamptz NOT NULL,
    time_zone text NOT NULL,
    known boolean NOT NULL,
    taken_at timestamptz NOT NULL,
    CONSTRAINT days_pkey PRIMARY KEY (projection, day)
);

DO $$
BEGIN
  IF to_regclass('projector.cart_events') IS NULL THEN
    CREATE TABLE projector.cart_events (
        projected_at timestamptz NOT NULL,
        old_ts bigint,
        new_ts bigint,
        generation integer NOT NULL,
        kind "char" NOT NULL,
        cart_id text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL
    ) PARTITION BY RANGE (projected_at);
    CREATE TABLE projector.cart_events_other PARTITION OF projector.cart_events DEFAULT;
    CREATE INDEX cart_events_key ON projector.cart_events (cart_id, projected_at);
    CREATE INDEX cart_events_time ON projector.cart_events USING brin (projected_at);
  END IF;
  IF (SELECT count(*) FROM pg_attribute WHERE attrelid = 'projector.cart_events'::regclass
      AND attname IN ('old_item', 'old_quantity', 'old_unit_price', 'old_currency', 'old_extra', 'new_item', 'new_quantity', 'new_unit_price', 'new_currency', 'new_extra') AND NOT attisdropped) < 10 THEN
    ALTER TABLE projector.cart_events
      ADD COLUMN IF NOT EXISTS old_item text COLLATE "C",
      ADD COLUMN IF NOT EXISTS old_quantity numeric,
      ADD COLUMN IF NOT EXISTS old_unit_price numeric,
      ADD COLUMN IF NOT EXISTS old_currency text COLLATE "C",
      ADD COLUMN IF NOT EXISTS old_extra jsonb,
      ADD COLUMN IF NOT EXISTS new_item text COLLATE "C",
      ADD COLUMN IF NOT EXISTS new_quantity numeric,
      ADD COLUMN IF NOT EXISTS new_unit_price numeric,
      ADD COLUMN IF NOT EXISTS new_currency text COLLATE "C",
      ADD COLUMN IF NOT EXISTS new_extra jsonb;
  END IF;
END
$$;

DO $$
BEGIN
  IF to_regclass('projector.daily_totals') IS NULL THEN
    CREATE TABLE projector.daily_totals (day date NOT NULL);
    CREATE INDEX daily_totals_day ON projector.daily_totals (day);
  END IF;
  IF (SELECT count(*) FROM pg_attribute WHERE attrelid = 'projector.daily_totals'::regclass
      AND attname IN ('cart_count', 'line_count', 'total_quantity', 'total_amount', 'currency') AND NOT attisdropped) < 5 THEN
    ALTER TABLE projector.daily_totals
      ADD COLUMN IF NOT EXISTS cart_count bigint,
      ADD COLUMN IF NOT EXISTS line_count bigint,
      ADD COLUMN IF NOT EXISTS total_quantity numeric,
      ADD COLUMN IF NOT EXISTS total_amount numeric,
      ADD COLUMN IF NOT EXISTS currency text COLLATE "C";
  END IF;
END
$$;

DO $$
BEGIN
  IF to_regclass('projector.daily_amounts') IS NULL THEN
    CREATE TABLE projector.daily_amounts (day date NOT NULL);
    CREATE INDEX daily_amounts_day ON projector.daily_amounts (day);
  END IF;
  IF (SELECT count(*) FROM pg_attribute WHERE attrelid = 'projector.daily_amounts'::regclass
      AND attname IN ('currency', 'priced_line_count', 'total_amount') AND NOT attisdropped) < 3 THEN
    ALTER TABLE projector.daily_amounts
      ADD COLUMN IF NOT EXISTS currency text COLLATE "C",
      ADD COLUMN IF NOT EXISTS priced_line_count bigint,
      ADD COLUMN IF NOT EXISTS total_amount numeric;
  END IF;
END
$$;

DO $$
BEGIN
  IF to_regclass('projector.daily_item_totals') IS NULL THEN
    CREATE TABLE projector.daily_item_totals (day date NOT NULL);
    CREATE INDEX daily_item_totals_day ON projector.daily_item_totals (day);
  END IF;
  IF (SELECT count(*) FROM pg_attribute WHERE attrelid = 'projector.daily_item_totals'::regclass
      AND attname IN ('item', 'line_count', 'total_quantity') AND NOT attisdropped) < 3 THEN
    ALTER TABLE projector.daily_item_totals
      ADD COLUMN IF NOT EXISTS item text COLLATE "C",
      ADD COLUMN IF NOT EXISTS line_count bigint,
      ADD COLUMN IF NOT EXISTS total_quantity numeric;
  END IF;
END
$$;

CREATE FUNCTION projector_g1.log_added() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own CONSTANT integer := 1;
  at CONSTANT timestamptz := clock_timestamp();
  marked record;
BEGIN
  IF EXISTS (SELECT FROM projector.history
             WHERE projection = 'carts' AND generation = own AND ended_at IS NULL) THEN
    INSERT INTO projector.cart_events (projected_at, generation, kind, cart_id, id, new_ts, new_item,
  new_quantity, new_unit_price, new_currency, new_extra)
    SELECT at, own, 'a', n.cart_id, n.id, n.ts, n.item, n.quantity, n.unit_price, n.currency,
      n.extra
    FROM after n WHERE NOT n.deleted;
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER cart_items_added AFTER INSERT ON projector_g1.cart_items
REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION projector_g1.log_added();

CREATE FUNCTION projector_g1.log_changed() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = on SET enable_nestloop = off AS $$
DECLARE
  own CONSTANT integer := 1;
  at CONSTANT timestamptz := clock_timestamp();
  marked record;
BEGIN
  IF EXISTS (SELECT FROM projector.history
             WHERE projection = 'carts' AND generation = own AND ended_at IS NULL) THEN
    INSERT INTO projector.cart_events (projected_at, generation, kind, cart_id, id, old_ts, new_ts, old_item,
  old_quantity, old_unit_price, old_currency, old_extra, new_item, new_quantity, new_unit_price,
  new_currency, new_extra)
    SELECT at, own, CASE WHEN o.deleted THEN 'v' WHEN NOT n.deleted THEN 'c'
        WHEN current_setting('projector.cause', true) = 'sweep' THEN 's'
        WHEN current_setting('projector.cause', true) = 'repair' THEN 'p' ELSE 'm' END,
      n.cart_id, n.id, CASE WHEN NOT o.deleted THEN o.ts END,
      CASE WHEN NOT n.deleted OR n.etag <> '' THEN n.ts END, o.item, o.quantity, o.unit_price,
        o.currency, o.extra, n.item, n.quantity, n.unit_price, n.currency, n.extra
    FROM before o JOIN after n ON n.cart_id = o.cart_id AND n.id = o.id
    WHERE o.deleted <> n.deleted OR NOT n.deleted AND (o.ts <> n.ts
      OR (o.item, o.quantity, o.unit_price, o.currency, o.extra) IS DISTINCT FROM (n.item,
        n.quantity, n.unit_price, n.currency, n.extra));
    -- The tombstone of a rejected version is marked by a statement of its own, in the same transaction.
    FOR marked IN SELECT n.cart_id AS key, n.id FROM after n WHERE n.rejected AND n.deleted LOOP
      UPDATE projector.cart_events e SET kind = 'j'
      WHERE e.cart_id = marked.key AND e.id = marked.id AND e.generation = own
        AND e.projected_at >= now() AND e.kind IN ('m', 's', 'p');
    END LOOP;
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER cart_items_changed AFTER UPDATE ON projector_g1.cart_items
REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION projector_g1.log_changed();

CREATE FUNCTION projector_g1.log_removed() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own CONSTANT integer := 1;
  at CONSTANT timestamptz := clock_timestamp();
  marked record;
BEGIN
  IF EXISTS (SELECT FROM projector.history
             WHERE projection = 'carts' AND generation = own AND ended_at IS NULL) THEN
    INSERT INTO projector.cart_events (projected_at, generation, kind, cart_id, id, old_ts, old_item,
  old_quantity, old_unit_price, old_currency, old_extra)
    SELECT at, own, 'h', o.cart_id, o.id, o.ts, o.item, o.quantity, o.unit_price, o.currency,
      o.extra
    FROM before o WHERE NOT o.deleted;
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER cart_items_removed AFTER DELETE ON projector_g1.cart_items
REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION projector_g1.log_removed();

CREATE OR REPLACE VIEW carts.history AS
SELECT began_at, known_from, ended_at, found
FROM projector.history
WHERE projection = 'carts' AND generation = 1;

COMMENT ON VIEW carts.history IS 'Since when it is known what happened to the rows: one row per stretch of time, the present one without an end. Between two of them nothing was written down.';

COMMENT ON COLUMN carts.history.began_at IS 'When it began to be written down; what was found then was not.';

COMMENT ON COLUMN carts.history.known_from IS 'The first time that can be asked for; later than began_at once old events were dropped.';

COMMENT ON COLUMN carts.history.ended_at IS 'When it was switched off; NULL: it goes on.';

COMMENT ON COLUMN carts.history.found IS 'Number of rows that were there when it began; NULL while they are counted.';

CREATE OR REPLACE VIEW carts.cart_events AS
SELECT e.cart_id,
       e.id,
       CASE e.kind WHEN 'a' THEN 'added' WHEN 'v' THEN 'revived' WHEN 'c' THEN 'changed' WHEN 'm' THEN 'removed_by_marker' WHEN 's' THEN 'removed_by_sweep' WHEN 'p' THEN 'removed_by_repair' WHEN 'j' THEN 'removed_by_rejection' WHEN 'h' THEN 'removed_by_hand' WHEN 'r' THEN 'rebuilt' END AS kind,
       e.projected_at,
       to_timestamp(e.new_ts::double precision) AS source_time,
       COALESCE(e.projected_at > to_timestamp(e.new_ts::double precision) + interval '5 seconds', true) AS may_be_folded,
       e.old_item COLLATE pg_catalog."default" AS old_item,
       e.new_item COLLATE pg_catalog."default" AS new_item,
       e.old_quantity AS old_quantity,
       e.new_quantity AS new_quantity,
       e.old_unit_price AS old_unit_price,
       e.new_unit_price AS new_unit_price,
       e.old_currency COLLATE pg_catalog."default" AS old_currency,
       e.new_currency COLLATE pg_catalog."default" AS new_currency,
       e.old_quantity * e.old_unit_price AS old_amount,
       e.new_quantity * e.new_unit_price AS new_amount,
       to_timestamp(e.old_ts::double precision) AS old_changed_at,
       CASE WHEN e.old_ts IS NOT NULL THEN COALESCE(e.old_extra, '{}'::jsonb) END AS old_extra,
       CASE WHEN e.kind IN ('a', 'v', 'c') OR e.kind = 'r' AND e.new_ts IS NOT NULL THEN COALESCE(e.new_extra, '{}'::jsonb) END AS new_extra
FROM projector.cart_events AS e
JOIN projector.reigns AS r ON r.generation = e.generation AND r.live_from <= e.projected_at
    AND (r.live_until IS NULL OR r.live_until > e.projected_at);

COMMENT ON VIEW carts.cart_events IS 'What happened to the lines since carts.history began, and by what.';

COMMENT ON COLUMN carts.cart_events.cart_id IS 'The cart (cartId of the document).';

COMMENT ON COLUMN carts.cart_events.id IS 'The document''s id, unique within the cart.';

COMMENT ON COLUMN carts.cart_events.kind IS 'What happened: added, revived (it came back while its removal was still remembered), changed, removed by marker, sweep, repair, rejection or hand, or rebuilt (otherwise made anew).';

COMMENT ON COLUMN carts.cart_events.projected_at IS 'When it was written here, by the clock of the database.';

COMMENT ON COLUMN carts.cart_events.source_time IS 'When the document was changed at the source (_ts); NULL where that is not told, as for one that was found absent.';

COMMENT ON COLUMN carts.cart_events.may_be_folded IS 'True when the change was read later than 5 seconds after it was made: versions of between may never have been seen. Otherwise at most those of the same moment.';

COMMENT ON COLUMN carts.cart_events.old_item IS 'Before: Name of the article.';

COMMENT ON COLUMN carts.cart_events.new_item IS 'After: Name of the article.';

COMMENT ON COLUMN carts.cart_events.old_quantity IS 'Before: How many; exact.';

COMMENT ON COLUMN carts.cart_events.new_quantity IS 'After: How many; exact.';

COMMENT ON COLUMN carts.cart_events.old_unit_price IS 'Before: Price of one, exact; NULL when the document bears none.';

COMMENT ON COLUMN carts.cart_events.new_unit_price IS 'After: Price of one, exact; NULL when the document bears none.';

COMMENT ON COLUMN carts.cart_events.old_currency IS 'Before: Currency of the price, three capital letters; NULL when not told.';

COMMENT ON COLUMN carts.cart_events.new_currency IS 'After: Currency of the price, three capital letters; NULL when not told.';

COMMENT ON COLUMN carts.cart_events.old_amount IS 'Before: quantity x unit_price, unrounded; NULL without a price.';

COMMENT ON COLUMN carts.cart_events.new_amount IS 'After: quantity x unit_price, unrounded; NULL without a price.';

COMMENT ON COLUMN carts.cart_events.old_changed_at IS 'Before: when the document had been changed last.';

COMMENT ON COLUMN carts.cart_events.old_extra IS 'Before: all other fields of the document; NULL when there was no row.';

COMMENT ON COLUMN carts.cart_events.new_extra IS 'After: all other fields of the document; NULL when there is no row.';

CREATE OR REPLACE VIEW carts.daily_totals AS
SELECT d.day,
       d.ends_at,
       d.known,
       t.cart_count,
       t.line_count,
       t.total_quantity,
       t.total_amount,
       t.currency COLLATE pg_catalog."default" AS currency
FROM projector.days AS d
LEFT JOIN projector.daily_totals AS t ON t.day = d.day
WHERE d.projection = 'carts' AND (t.day IS NOT NULL OR NOT d.known);

COMMENT ON VIEW carts.daily_totals IS 'The live lines at the end of each day, as the copy had them then: one row per day. A day that is over never changes; one of which it is not known is told with known = false.';

COMMENT ON COLUMN carts.daily_totals.day IS 'The day, in the time zone of the setting PROJECTOR_DAYS_TIME_ZONE.';

COMMENT ON COLUMN carts.daily_totals.ends_at IS 'The moment at which it ended.';

COMMENT ON COLUMN carts.daily_totals.known IS 'Whether the state at that moment is known; the numbers are NULL when it is not.';

COMMENT ON COLUMN carts.daily_totals.cart_count IS 'Number of carts with at least one live line.';

COMMENT ON COLUMN carts.daily_totals.line_count IS 'Number of live lines.';

COMMENT ON COLUMN carts.daily_totals.total_quantity IS 'Sum of the quantities of the live lines.';

COMMENT ON COLUMN carts.daily_totals.total_amount IS 'Sum of the amounts of the lines with a price; NULL when no line has a price or currencies are mixed.';

COMMENT ON COLUMN carts.daily_totals.currency IS 'The one currency of total_amount; NULL when none, not told or mixed.';

CREATE OR REPLACE VIEW carts.daily_amounts AS
SELECT d.day,
       d.ends_at,
       d.known,
       t.currency COLLATE pg_catalog."default" AS currency,
       t.priced_line_count,
       t.total_amount
FROM projector.days AS d
LEFT JOIN projector.daily_amounts AS t ON t.day = d.day
WHERE d.projection = 'carts' AND (t.day IS NOT NULL OR NOT d.known);

COMMENT ON VIEW carts.daily_amounts IS 'The live lines at the end of each day, as the copy had them then: one row per day and currency. A day that is over never changes; one of which it is not known is told with known = false.';

COMMENT ON COLUMN carts.daily_amounts.day IS 'The day, in the time zone of the setting PROJECTOR_DAYS_TIME_ZONE.';

COMMENT ON COLUMN carts.daily_amounts.ends_at IS 'The moment at which it ended.';

COMMENT ON COLUMN carts.daily_amounts.known IS 'Whether the state at that moment is known; the numbers are NULL when it is not.';

COMMENT ON COLUMN carts.daily_amounts.currency IS 'The currency; NULL for prices without one.';

COMMENT ON COLUMN carts.daily_amounts.priced_line_count IS 'Number of live lines with a price in this currency.';

COMMENT ON COLUMN carts.daily_amounts.total_amount IS 'Sum of their amounts.';

CREATE OR REPLACE VIEW carts.daily_item_totals AS
SELECT d.day,
       d.ends_at,
       d.known,
       t.item COLLATE pg_catalog."default" AS item,
       t.line_count,
       t.total_quantity
FROM projector.days AS d
LEFT JOIN projector.daily_item_totals AS t ON t.day = d.day
WHERE d.projection = 'carts' AND (t.day IS NOT NULL OR NOT d.known);

COMMENT ON VIEW carts.daily_item_totals IS 'The live lines at the end of each day, as the copy had them then: one row per day and item. A day that is over never changes; one of which it is not known is told with known = false.';

COMMENT ON COLUMN carts.daily_item_totals.day IS 'The day, in the time zone of the setting PROJECTOR_DAYS_TIME_ZONE.';

COMMENT ON COLUMN carts.daily_item_totals.ends_at IS 'The moment at which it ended.';

COMMENT ON COLUMN carts.daily_item_totals.known IS 'Whether the state at that moment is known; the numbers are NULL when it is not.';

COMMENT ON COLUMN carts.daily_item_totals.item IS 'Name of the article.';

COMMENT ON COLUMN carts.daily_item_totals.line_count IS 'Number of live lines.';

COMMENT ON COLUMN carts.daily_item_totals.total_quantity IS 'Sum of their quantities.';

CREATE OR REPLACE VIEW carts.abandoned_carts AS
SELECT t.cart_id, r.line_count AS line_count, r.total_quantity AS total_quantity, r.total_amount AS total_amount, r.currency COLLATE pg_catalog."default" AS currency, to_timestamp(r.last_ts::double precision) AS last_changed_at,
       p.last_touched_at, now() - p.last_touched_at AS idle,
       l.last_item, p.re_engaged_count, p.last_re_engaged_at
FROM projector.history_settings AS s
CROSS JOIN LATERAL (SELECT DISTINCT cart_id
                    FROM projector_g1.cart_totals
                    WHERE last_changed_at < now() - s.abandoned_after) AS t
CROSS JOIN LATERAL (SELECT count(*) AS line_count,
                           trim_scale(COALESCE(sum(i.quantity), 0)) AS total_quantity,
                           CASE WHEN min(COALESCE(i.currency, '-')) FILTER (WHERE i.unit_price IS NOT NULL) = max(COALESCE(i.currency, '-')) FILTER (WHERE i.unit_price IS NOT NULL) THEN trim_scale(sum(i.amount)) END AS total_amount,
                           CASE WHEN min(COALESCE(i.currency, '-')) FILTER (WHERE i.unit_price IS NOT NULL) = max(COALESCE(i.currency, '-')) FILTER (WHERE i.unit_price IS NOT NULL) THEN NULLIF(min(COALESCE(i.currency, '-')) FILTER (WHERE i.unit_price IS NOT NULL), '-') END AS currency, max(i.ts) AS last_ts
                    FROM (SELECT i.ts, i.item, i.quantity, i.unit_price, i.currency, i.quantity * i.unit_price AS amount
                          FROM projector_g1.cart_items AS i
                          WHERE i.cart_id = t.cart_id AND NOT i.deleted) AS i) AS r
CROSS JOIN LATERAL (
    SELECT max(at) AS last_touched_at,
           count(*) FILTER (WHERE at - before > s.abandoned_after) AS re_engaged_count,
           max(at) FILTER (WHERE at - before > s.abandoned_after) AS last_re_engaged_at
    FROM (SELECT at, lag(at) OVER (ORDER BY at) AS before
          FROM (SELECT to_timestamp(i.ts::double precision) AS at
                FROM projector_g1.cart_items AS i WHERE i.cart_id = t.cart_id AND NOT i.deleted
                UNION ALL
                SELECT to_timestamp(unnest(ARRAY[e.old_ts, e.new_ts])::double precision)
                FROM projector.cart_events AS e WHERE e.cart_id = t.cart_id) AS known
          WHERE at IS NOT NULL) AS touches) AS p
CROSS JOIN LATERAL (SELECT i.item COLLATE pg_catalog."default" AS last_item
                    FROM projector_g1.cart_items AS i
                    WHERE i.cart_id = t.cart_id AND NOT i.deleted
                    ORDER BY i.ts DESC, i.id LIMIT 1) AS l
WHERE p.last_touched_at < now() - s.abandoned_after;

COMMENT ON VIEW carts.abandoned_carts IS 'Carts with live lines that nobody has touched for as long as the setting PROJECTOR_ABANDONED_AFTER_HOURS says.';

COMMENT ON COLUMN carts.abandoned_carts.cart_id IS 'The cart.';

COMMENT ON COLUMN carts.abandoned_carts.line_count IS 'Number of live lines.';

COMMENT ON COLUMN carts.abandoned_carts.total_quantity IS 'Sum of the quantities of the live lines.';

COMMENT ON COLUMN carts.abandoned_carts.total_amount IS 'Sum of the amounts of the lines with a price; NULL when no line has a price or currencies are mixed (see cart_amounts).';

COMMENT ON COLUMN carts.abandoned_carts.currency IS 'The one currency of total_amount; NULL when none, not told or mixed.';

COMMENT ON COLUMN carts.abandoned_carts.last_changed_at IS 'Newest changed_at of the live lines.';

COMMENT ON COLUMN carts.abandoned_carts.last_touched_at IS 'When a line was last changed or removed, as far as it is known.';

COMMENT ON COLUMN carts.abandoned_carts.idle IS 'How long ago that is.';

COMMENT ON COLUMN carts.abandoned_carts.last_item IS 'Of the line that was changed last: Name of the article.';

COMMENT ON COLUMN carts.abandoned_carts.re_engaged_count IS 'How often the cart had been left alone for as long before, and was taken up again.';

COMMENT ON COLUMN carts.abandoned_carts.last_re_engaged_at IS 'When that was last; NULL: never.';

CREATE OR REPLACE FUNCTION carts.history_reaches(t timestamptz)
RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first timestamptz;
BEGIN
    SELECT known_from INTO first FROM projector.history
    WHERE projection = 'carts' AND generation = 1 AND ended_at IS NULL;
    IF first IS NULL THEN
        RAISE EXCEPTION 'no time of the past is known: the history has not begun, or is switched off'
            USING ERRCODE = '22023', HINT = 'See carts.history, and the setting PROJECTOR_HISTORY.';
    ELSIF t IS NULL OR t < first THEN
        RAISE EXCEPTION 'the history does not reach %: the first time that is known is %', t, first
            USING ERRCODE = '22023', HINT = 'See carts.history.';
    ELSIF t > clock_timestamp() THEN
        RAISE EXCEPTION '% has not come yet: the last time that is known is now', t
            USING ERRCODE = '22023';
    END IF;
    RETURN true;
END $$;

COMMENT ON FUNCTION carts.history_reaches(t timestamptz) IS 'True when that time is known; otherwise an error that tells the first time that is.';

CREATE OR REPLACE FUNCTION carts.cart_items_as_of(t timestamptz)
RETURNS SETOF carts.cart_items LANGUAGE sql STABLE AS $$
SELECT i.cart_id, i.id, i.item, i.quantity, i.unit_price, i.currency, i.amount, i.changed_at, i.extra
FROM carts.cart_items AS i
WHERE carts.history_reaches($1) AND NOT EXISTS (
    SELECT FROM carts.cart_events AS e
    WHERE e.cart_id = i.cart_id AND e.id = i.id AND e.projected_at > $1)
UNION ALL
SELECT e.cart_id, e.id, e.old_item, e.old_quantity, e.old_unit_price, e.old_currency, e.old_amount, e.old_changed_at, e.old_extra
FROM (SELECT DISTINCT ON (cart_id, id) *
      FROM carts.cart_events
      WHERE projected_at > $1
      ORDER BY cart_id, id, projected_at) AS e
WHERE carts.history_reaches($1) AND e.old_changed_at IS NOT NULL $$;

COMMENT ON FUNCTION carts.cart_items_as_of(t timestamptz) IS 'The live lines of a time. An error for a time that carts.history does not reach.';

CREATE OR REPLACE FUNCTION carts.cart_totals_as_of(t timestamptz)
RETURNS SETOF carts.cart_totals LANGUAGE sql STABLE AS $$
SELECT i.cart_id,
       count(*),
       trim_scale(COALESCE(sum(i.quantity), 0)),
       CASE WHEN min(COALESCE(i.currency, '-')) FILTER (WHERE i.unit_price IS NOT NULL) = max(COALESCE(i.currency, '-')) FILTER (WHERE i.unit_price IS NOT NULL) THEN trim_scale(sum(i.amount)) END,
       CASE WHEN min(COALESCE(i.currency, '-')) FILTER (WHERE i.unit_price IS NOT NULL) = max(COALESCE(i.currency, '-')) FILTER (WHERE i.unit_price IS NOT NULL) THEN NULLIF(min(COALESCE(i.currency, '-')) FILTER (WHERE i.unit_price IS NOT NULL), '-') END,
       min(i.changed_at),
       max(i.changed_at)
FROM carts.cart_items_as_of($1) AS i
GROUP BY i.cart_id $$;

COMMENT ON FUNCTION carts.cart_totals_as_of(t timestamptz) IS 'What carts.cart_totals said at a time. An error for a time that carts.history does not reach.';

CREATE OR REPLACE FUNCTION carts.cart_amounts_as_of(t timestamptz)
RETURNS SETOF carts.cart_amounts LANGUAGE sql STABLE AS $$
SELECT i.cart_id,
       i.currency,
       count(*),
       trim_scale(sum(i.amount))
FROM carts.cart_items_as_of($1) AS i
WHERE i.unit_price IS NOT NULL
GROUP BY i.cart_id, i.currency $$;

COMMENT ON FUNCTION carts.cart_amounts_as_of(t timestamptz) IS 'What carts.cart_amounts said at a time. An error for a time that carts.history does not reach.';

CREATE OR REPLACE FUNCTION carts.item_totals_as_of(t timestamptz)
RETURNS SETOF carts.item_totals LANGUAGE sql STABLE AS $$
SELECT i.item,
       count(*),
       trim_scale(COALESCE(sum(i.quantity), 0))
FROM carts.cart_items_as_of($1) AS i
GROUP BY i.item $$;

COMMENT ON FUNCTION carts.item_totals_as_of(t timestamptz) IS 'What carts.item_totals said at a time. An error for a time that carts.history does not reach.';

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
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA carts TO carts_reader;
    END IF;
END
$$;
