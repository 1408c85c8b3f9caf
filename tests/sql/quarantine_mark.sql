-- Marks the tombstones of rejected versions, so that the same version, once good, may replace them.
-- Plan: one probe of the rows' primary key per document.
UPDATE projector_g1.cart_items t SET rejected = true
FROM json_to_recordset(%(rejections)s::json) AS r(key text, id text, lsn bigint)
WHERE t.cart_id = r.key AND t.id = r.id AND t.deleted AND NOT t.rejected
  AND (t.lineage, t.lsn) = (%(lineage)s, r.lsn)
