"""Batches of new documents go in by COPY, at half the cost of an upsert: no look-up, whole pages.

Only where every key is new. COPY itself finds out: a key that is stored already fails the whole
batch, nothing has happened, and the caller writes it the usual way. So the newest version wins here
as everywhere, and guessing wrong costs time only.

One transaction: (1) the position row is updated under the epoch, which holds it until COMMIT; (2) the
rows are copied, sorted by key; (3) the table's trigger counts carts, then items, from the rows that
were really stored, and keeps the hashes of their keys while a replay is open; (4) it is asked whether it
did, since a trigger can be switched off by others; COMMIT. Locks are taken in the order of the batch
statement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from projector.core.errors import ConfigurationError
from projector.postgres.connections import Session
from projector.postgres.generation import Generation
from projector.postgres.prepared import one_row
from projector.postgres.statements import FENCE
from projector.projection.writes import RowWrite, Value

# The trigger works only in transactions that say so, and is told here which replay is open.
COUNTED_FENCE = (
    f"{FENCE}, set_config('projector.copied', COALESCE(seen_group::text, 'alone'), true)"
)

# The trigger empties what woke it.
COUNTED = "SELECT 1 WHERE current_setting('projector.copied') = ''"
NOT_COUNTED = (
    "the trigger that counts copied rows did not run, so nothing was committed: ALTER TABLE"
    " {rows}.cart_items ENABLE TRIGGER cart_items_copied, and see that no trigger of others drops rows"
)

# A text that is exactly the mark of NULL stands in a column that refuses NULL.
COPY = """
COPY {rows}.cart_items (epk, lsn, ts, lineage, deleted, cart_id, id, etag, item, quantity,
  unit_price, currency, extra, tombstone_tick) FROM STDIN (NULL E'\\x01')"""

# The server stores one piece while the next is formatted, and no buffer grows with the batch, nor, but
# for a single large document, with what documents hold.
PIECE = 100
PIECE_BYTES = 100_000

_NULL = b"\x01"
_TABS_PER_ROW = 13
_encoder = msgspec.json.Encoder()
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


async def copy_rows(
    session: Session,
    parameters: Mapping[str, Any],
    writes: Sequence[RowWrite],
    *,
    generation: Generation,
) -> bool:
    """Copy the writes and move the position; False when the fence, or a flag it asks about, says no.

    Raises:
        psycopg.errors.UniqueViolation: a key is there already; the transaction is rolled back.
        ConfigurationError: The rows were not counted, or not all stored; rolled back as well.
    """
    async with session.transaction():
        held = await one_row(session, COUNTED_FENCE, parameters)
        if held is None:
            return False
        cursor = session.cursor()
        async with cursor.copy(COPY.replace("{rows}", generation.schema)) as copy:
            for piece in pieces(writes):
                await copy.write(copy_text(piece, lineage=parameters["lineage"], tick=held[0]))
        if await one_row(session, COUNTED, {}) is None or cursor.rowcount != len(writes):
            raise ConfigurationError(NOT_COUNTED.replace("{rows}", generation.schema))
    return True


def pieces(writes: Sequence[RowWrite]) -> Iterator[Sequence[RowWrite]]:
    """The writes in pieces that are bounded in rows and in bytes."""
    start = size_bytes = 0
    for place, write in enumerate(writes):
        more_bytes = len(write.extra or b"")
        full = place - start >= PIECE or size_bytes + more_bytes > PIECE_BYTES
        if full and place > start:
            yield writes[start:place]
            start, size_bytes = place, 0
        size_bytes += more_bytes
    if start < len(writes):
        yield writes[start:]


def copy_text(writes: Sequence[RowWrite], *, lineage: int, tick: int) -> bytes:
    """The rows in COPY's text format; a tombstone bears the tick of its commit."""
    text = _unescaped(writes, lineage, tick)
    # Few shops write such characters, so it is cheaper to look once for all rows.
    if (
        b"\\" in text
        or b"\r" in text
        or text.count(b"\n") != len(writes)
        or text.count(b"\t") != _TABS_PER_ROW * len(writes)
    ):
        text = _unescaped([_escaped(write) for write in writes], lineage, tick)
    return text


def _unescaped(writes: Sequence[RowWrite], lineage: int, tick: int) -> bytes:
    live, gone = b"%d\tf" % lineage, b"%d\tt" % lineage
    tail = b"\t".join([_NULL] * 5) + b"\t%d\n" % tick
    return b"".join(
        [
            b"%d\t%d\t%d\t%b\t%b\t%b\t%b\t%b\t%b\t\x01\n"
            % (
                w.epk,
                w.lsn,
                w.ts,
                live,
                w.key.encode(),
                w.id.encode(),
                w.etag.encode(),
                b"\t".join([_text(value) for value in w.values]),
                w.extra or _NULL,
            )
            if w.values
            else b"%d\t%d\t%d\t%b\t%b\t%b\t%b\t%b"
            % (w.epk, w.lsn, w.ts, gone, w.key.encode(), w.id.encode(), w.etag.encode(), tail)
            for w in writes
        ]
    )


def _text(value: Value) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return _NULL if value is None else _encoder.encode(value)


def _escaped(write: RowWrite) -> RowWrite:
    extra = write.extra and msgspec.Raw(bytes(write.extra).decode().translate(_ESCAPES).encode())
    return msgspec.structs.replace(
        write,
        key=write.key.translate(_ESCAPES),
        id=write.id.translate(_ESCAPES),
        etag=write.etag.translate(_ESCAPES),
        values=tuple(
            value.translate(_ESCAPES) if isinstance(value, str) else value for value in write.values
        ),
        extra=extra,
    )
