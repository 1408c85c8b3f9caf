"""Where paged reads stand: the rows still to come of a result, under an opaque continuation.

Rows are made as they are read, so a result costs no more than its last page. A bounded number of results is
kept open, least recently used first out; a continuation whose result is gone still works: it says
how many rows were read, and the result is made again without them. Asking twice for the same page
gives the same page.

A client goes on with children of a range by the continuation of their parent, and with a merged range by
each child's. Rows know their documents, so what was read of those is left out, wherever they are now.
Invariant: over all ranges, every row comes once. Source: the SDKs' handling of a split between two pages.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from cosmos_emulator.errors import bad_request
from cosmos_emulator.feed import MOST_PAGE_BYTES

_MOST_RESULTS = 32


class Row(NamedTuple):
    """A row as JSON, and the number of the document that it comes from, if it comes from one."""

    body: bytes
    number: int | None


class Read(NamedTuple):
    """What is read: another one is another result."""

    container: str
    query: str
    ranges: tuple[str, ...]
    minimum: str
    maximum: str

    @property
    def mark(self) -> int:
        """A number that tells it from others."""
        return zlib.crc32(repr(self).encode("utf-8", "surrogatepass"))


Rows = Iterator[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows, and the text to go on from; None when these are the last."""

    rows: list[bytes]
    continuation: str | None


class _Result:
    """One result on its way to a client; `origins` are the documents of the rows read so far."""

    def __init__(self, read: Read, rows: Rows, origins: list[int | None]) -> None:
        self.read = read
        self._rows = rows
        self._pending = next(rows, None)
        self._page: list[bytes] = []
        self.origins = origins
        self.is_busy = False
        self.page_start = len(origins)

    @property
    def count(self) -> int:
        """How many rows were read."""
        return len(self.origins)

    @property
    def ended(self) -> bool:
        return self._pending is None

    def can_give(self, read: Read, start: int) -> bool:
        """Whether the page that starts there comes from here."""
        return not self.is_busy and self.read == read and start in {self.count, self.page_start}

    def page_at(self, start: int, most: int | None) -> list[bytes]:
        if start == self.count:
            taken = self._take(most)
            self._page = [row.body for row in taken]
            self.page_start = start
            self.origins += [row.number for row in taken]
        return self._page

    def _take(self, most: int | None) -> list[Row]:
        taken: list[Row] = []
        size = 0
        while self._pending is not None and len(taken) != most:
            size += len(self._pending.body) + 1
            if taken and size > MOST_PAGE_BYTES:
                break
            taken.append(self._pending)
            self._pending = next(self._rows, None)
        return taken


class Cursors:
    """The results that clients are paging through."""

    def __init__(self) -> None:
        self._results: OrderedDict[int, _Result] = OrderedDict()
        self._next = 1

    def page(
        self, continuation: str | None, most: int | None, read: Read, make: Callable[[], Rows]
    ) -> Page:
        """Returns the page that a continuation asks for, the first page without one.

        Raises:
            EmulatorError: it is none, or is of no use for what is read.
        """
        cursor, start, mark = (0, 0, 0) if continuation is None else _decoded(continuation)
        result = self._results.get(cursor)
        if result is None or not result.can_give(read, start):
            known = result
            cursor, result = self._open(_made(read, make(), start, known, mark))
        self._results.move_to_end(cursor)
        rows = self._read(cursor, result, start, most)
        ended = result.ended and start + len(rows) == result.count
        going_on = None if ended else _encoded(cursor, start + len(rows), read.mark)
        return Page(rows=rows, continuation=going_on)

    def _read(self, cursor: int, result: _Result, start: int, most: int | None) -> list[bytes]:
        """The page; reading may pause, and others must not go on with the same rows meanwhile."""
        result.is_busy = True
        try:
            rows = result.page_at(start, most)
        except BaseException:
            self._results.pop(cursor, None)  # its rows have ended where they broke off
            raise
        result.is_busy = False
        return rows

    def _open(self, result: _Result) -> tuple[int, _Result]:
        cursor = self._next
        self._next += 1
        self._results[cursor] = result
        if len(self._results) > _MOST_RESULTS:
            self._results.popitem(last=False)
        return cursor, result


def _made(read: Read, rows: Rows, start: int, known: _Result | None, mark: int) -> _Result:
    """A result without its first rows: those of a result that is known, else as many."""
    if known is not None and start <= known.count:
        if known.read.container != read.container:
            raise bad_request("The continuation token is of another container.")
        origins = known.origins[:start]
        return _Result(read, _without(rows, origins), origins)
    if start and mark != read.mark:
        raise bad_request(
            "The continuation token is too old to go on from after a split or a merge; "
            "read again without it."
        )
    return _Result(read, rows, [row.number for row in islice(rows, start)])


def _without(rows: Rows, origins: Sequence[int | None]) -> Rows:
    left = Counter(origins)
    for row in rows:
        if left[row.number]:
            left[row.number] -= 1
        else:
            yield row


def _encoded(cursor: int, row: int, mark: int) -> str:
    return base64.b64encode(b"%d:%d:%d" % (cursor, row, mark)).decode("ascii")


FROM_THE_START = _encoded(0, 0, 0)
"""The continuation of a result of which nothing was read."""


def _decoded(text: str) -> tuple[int, int, int]:
    try:
        cursor, row, mark = map(int, base64.b64decode(text, validate=True).split(b":"))
    except (binascii.Error, ValueError) as error:
        raise bad_request(
            "Invalid Continuation Token: it is none that a page of this container was answered with."
        ) from error
    if row < 0:
        raise bad_request(
            "Invalid Continuation Token: it is none that a page of this container was answered with."
        )
    return cursor, row, mark
