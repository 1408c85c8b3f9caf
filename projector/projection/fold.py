"""Folds pages into one write per document: the newest, in the order that avoids deadlocks.

The order of `_lsn` decides; between equal ones the later in the feed wins. A rejection stays while
the newest write of its document is the tombstone that came with it. Folding is associative: pages
may be cut and gathered in any way, repetitions included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from projector.projection.writes import Batch, ProjectedPage, Rejection, RowWrite


def fold(pages: Sequence[ProjectedPage]) -> Batch:
    """Keep the newest write and the newest rejection of each document of the pages, oldest first."""
    writes = _newest_writes(pages)
    rejections = _newest_rejections(chain.from_iterable(page.rejections for page in pages))
    return Batch(
        writes=tuple([writes[key] for key in sorted(writes)]),
        rejections=tuple(
            rejections[key] for key in sorted(rejections) if _stands(rejections[key], writes)
        ),
        passed=tuple(chain.from_iterable(page.passed for page in pages)),
        filtered=sum(page.filtered for page in pages),
        delivered=sum(page.delivered for page in pages),
        newest_ts=max(
            (page.newest_ts for page in pages if page.newest_ts is not None), default=None
        ),
    )


def _newest_writes(pages: Sequence[ProjectedPage]) -> dict[str, RowWrite]:
    # NUL is in no good text and sorts lowest, so that the joined key sorts as the pair does; and
    # the order of code points, Python's, is that of UTF-8 bytes, PostgreSQL's under COLLATE "C".
    found = {w.key + "\0" + w.id: w for page in pages for w in page.writes}
    if len(found) == sum(len(page.writes) for page in pages):
        return found
    found.clear()
    for write in chain.from_iterable(page.writes for page in pages):
        key = write.key + "\0" + write.id
        known = found.get(key)
        if known is None or write.lsn >= known.lsn:
            found[key] = write
    return found


def _newest_rejections(rejections: Iterable[Rejection]) -> dict[tuple[str, str], Rejection]:
    found: dict[tuple[str, str], Rejection] = {}
    for rejection in rejections:
        key = rejection.partition_key, rejection.id
        known = found.get(key)
        if known is None or rejection.lsn >= known.lsn:
            found[key] = rejection
    return found


def _stands(rejection: Rejection, writes: dict[str, RowWrite]) -> bool:
    """Whether no newer version of the document is known."""
    if rejection.key is None:
        return True
    newest = writes.get(rejection.key + "\0" + rejection.id)
    if newest is None or newest.lsn < rejection.lsn:
        return True
    return newest.lsn == rejection.lsn and newest.deleted
